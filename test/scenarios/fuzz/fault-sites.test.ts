import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { FaultInjector } from '../../../kernel/fault-injection.ts';
import { FAULT_SITES, ROOT_FDT_SITE } from '../../../kernel/fault-sites.ts';
import { PAGE_4K } from '../../../machine/page-size.ts';
import { parseScenario } from '../../../scenarios/run/load.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';

/*
 * What the list of fault sites says must follow of each, held to it: the steps' results, and the oracle's word.
 */

const KEEP = { 'preserve folios': { order: 2, count: 5, as: 'keep' } };
const JUMP = { kexec: {} };
const BLOB = { 'add subtree': { name: 'blob', size: 100 } };
const SESSION = { session: { name: 'vm', files: [{ token: 1, memfd: 65536 }] } };
/** More than the entries of one chunk. */
const AREA = { 'preserve vmalloc': { size: 5 * 2 ** 20, as: 'area' } };
/** More than memblock's first array of reserved regions. */
const MANY = { 'preserve folios': { order: 0, count: 3000, every: '8K', as: 'many' } };

interface Case {
  readonly site: string;
  readonly release: string;
  /** Steps behind KEEP and the fault. */
  readonly steps: readonly object[];
  readonly nth?: number;
  readonly next?: boolean;
  /** Results of `steps`, and states of objects at the end. */
  readonly results: readonly string[];
  readonly verdict: string;
  readonly states: Readonly<Record<string, string>>;
}

const INTACT = { keep: 'intact' };

const CASES: readonly Case[] = [
  {
    site: 'mm.alloc-pages',
    release: '7.3',
    steps: [BLOB, BLOB, JUMP],
    results: ['ENOMEM', 'ok', 'ok'],
    verdict: 'intact',
    states: { ...INTACT, blob: 'intact' },
  },
  {
    site: 'radix.alloc-node',
    release: '7.3',
    steps: [SCATTERED(), JUMP],
    results: ['ENOMEM', 'ok'],
    verdict: 'intact',
    states: { ...INTACT, few: 'untested' },
  },
  {
    site: 'kho.add-subtree',
    release: '7.3',
    steps: [BLOB, BLOB, JUMP],
    results: ['ENOMEM', 'ok', 'ok'],
    verdict: 'intact',
    states: { ...INTACT, blob: 'intact' },
  },
  // The empty node has the name, and goes for nothing else.
  {
    site: 'kho.add-subtree',
    release: '7.0',
    steps: [BLOB, BLOB, JUMP],
    results: ['3', 'EEXIST', 'ok'],
    verdict: 'intact',
    states: INTACT,
  },
  {
    site: 'kho.alloc-preserve',
    release: '7.3',
    steps: [BLOB, BLOB, JUMP],
    results: ['ENOMEM', 'ok', 'ok'],
    verdict: 'intact',
    states: { ...INTACT, blob: 'intact' },
  },
  {
    site: 'chunk-list.alloc-bitmap',
    release: '6.17.9',
    steps: [SCATTERED(), JUMP],
    results: ['ENOMEM', 'ok'],
    verdict: 'intact',
    states: { ...INTACT, few: 'untested' },
  },
  {
    site: 'chunk-list.alloc-chunk',
    release: '6.18',
    steps: [JUMP, JUMP],
    results: ['ENOMEM', 'ok'],
    verdict: 'damaged',
    states: { keep: 'damaged' },
  },
  {
    site: 'chunk-list.alloc-chunk',
    release: '7.0',
    steps: [JUMP, JUMP],
    results: ['ENOMEM', 'ok'],
    verdict: 'intact',
    states: INTACT,
  },
  {
    site: 'vmalloc.alloc-chunk',
    release: '7.3',
    nth: 2,
    steps: [AREA, JUMP],
    results: ['ENOMEM', 'ok'],
    verdict: 'intact',
    states: { ...INTACT, area: 'untested' },
  },
  {
    site: 'vmalloc.alloc-chunk',
    release: '6.18',
    nth: 2,
    steps: [AREA, JUMP],
    results: ['ok', 'ok'],
    verdict: 'damaged',
    states: { ...INTACT, area: 'damaged' },
  },
  {
    site: 'kho-block.alloc',
    release: '7.3',
    steps: [SESSION, JUMP],
    results: ['ENOMEM', 'ok'],
    verdict: 'intact',
    states: INTACT,
  },
  {
    site: 'luo.freeze-file',
    release: '7.3',
    steps: [SESSION, JUMP, JUMP, { retrieve: 'vm' }],
    results: ['ok', 'EIO', 'ok', 'ok'],
    verdict: 'intact',
    states: { ...INTACT, vm: 'intact' },
  },
  {
    site: 'luo.alloc-session',
    release: '7.3',
    steps: [SESSION, SESSION, JUMP, { retrieve: 'vm' }],
    results: ['ENOMEM', 'ok', 'ok', 'ok'],
    verdict: 'intact',
    states: { ...INTACT, vm: 'intact' },
  },
  {
    site: 'memfd.charge-folio',
    release: '7.3',
    next: true,
    steps: [SESSION, JUMP, { retrieve: 'vm' }],
    results: ['ok', 'ok', 'ENOMEM'],
    verdict: 'damaged',
    states: { ...INTACT, vm: 'damaged' },
  },
  {
    site: 'memfd.account-folio',
    release: '7.3',
    next: true,
    steps: [SESSION, JUMP, { retrieve: 'vm' }],
    results: ['ok', 'ok', 'ENOSPC'],
    verdict: 'damaged',
    states: { ...INTACT, vm: 'damaged' },
  },
  {
    site: 'memblock.double-array',
    release: '7.3',
    next: true,
    steps: [MANY, JUMP],
    results: ['ok', 'ok'],
    verdict: 'corrupt',
    states: { many: 'damaged' },
  },
  {
    site: 'kexec.crash-before-serialization',
    release: '7.3',
    steps: [SESSION, JUMP],
    results: ['ok', 'panic'],
    verdict: 'crashed',
    states: { keep: 'untested', vm: 'untested' },
  },
  {
    site: 'kexec.crash-in-serialization',
    release: '7.3',
    steps: [SESSION, JUMP],
    results: ['ok', 'panic'],
    verdict: 'crashed',
    states: { keep: 'untested', vm: 'untested' },
  },
  {
    site: 'kexec.crash-after-serialization',
    release: '7.3',
    steps: [SESSION, JUMP],
    results: ['ok', 'panic'],
    verdict: 'crashed',
    states: { keep: 'untested', vm: 'untested' },
  },
];

/** An order that nothing else has, so that the map needs memory for it. */
function SCATTERED() {
  return { 'preserve folios': { order: 5, count: 3, as: 'few' } };
}

function scenarioOf({ site, release, steps, nth = 1, next }: Case) {
  const fault = { fault: { at: site, nth, ...(next === undefined ? {} : { next }) } };
  const file = {
    name: site,
    machine: { pageSize: '4K', memory: '512M' },
    kernel: { release, cmdline: 'kho=on liveupdate=on kho_scratch=32M,16M,16M' },
    steps: [KEEP, fault, ...steps],
  };
  return parseScenario(stringify(file), 'site.yaml');
}

test.each(CASES)('$site in $release', (each) => {
  const { steps, verdict, objects } = runScenario(scenarioOf(each), { page: PAGE_4K });
  expect(steps.slice(2).map(({ result }) => result)).toEqual(each.results);
  const states = Object.fromEntries(objects.map(({ name, state }) => [name, state]));
  expect(states).toMatchObject(each.states);
  expect(verdict).toBe(each.verdict);
});

test('a root FDT that cannot be had turns KHO off; after a handover it is a panic', () => {
  const scenario = scenarioOf({
    ...CASES[0],
    site: ROOT_FDT_SITE,
    release: '7.3',
    steps: [JUMP],
    results: [],
    verdict: '',
    states: {},
  });
  const failing = (kernel: number) =>
    runScenario(scenario, {
      page: PAGE_4K,
      faultsOf: (number) => {
        const faults = new FaultInjector();
        if (number === kernel) faults.arm(ROOT_FDT_SITE, 1);
        return faults;
      },
    });
  const first = failing(1);
  expect(first.steps.map(({ result }) => result)).toEqual(['EINVAL', 'ok', 'cold-boot']);
  expect(failing(2).outcome).toBe('panic');
});

test('every site is held to what it says', () => {
  const held = new Set([...CASES.map(({ site }) => site), ROOT_FDT_SITE]);
  expect(FAULT_SITES.map(({ site }) => site).filter((site) => !held.has(site))).toEqual([]);
});
