import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PAGE_4K } from '../../../machine/page-size.ts';
import { InputError } from '../../../scenarios/input-error.ts';
import { packageRoot } from '../../../scenarios/package-root.ts';
import { loadScenario, parseScenario } from '../../../scenarios/run/load.ts';
import { formatBytes, formatQuantity, parseQuantity } from '../../../scenarios/run/quantity.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';
import { scenarioJsonSchema } from '../../../scenarios/run/schema.ts';

function messagesOf(text: string): string {
  try {
    parseScenario(text, 'plan.yaml');
  } catch (error) {
    if (error instanceof InputError) return error.message;
    throw error;
  }
  return 'accepted';
}

const PLAN = `name: a VM host is updated twice
machine: { arch: arm64, pageSize: 4K, memory: 8G, nodes: 2 }
kernel: { release: "7.3", cmdline: "kho=on liveupdate=on kho_scratch=64M,128M,64M" }
steps:
  - preserve folios: { order: 9, count: 512, as: cache }
  - session: { name: vm-1, files: [{ token: 0xdeadbeefcafe0044, memfd: 2G, seals: [GROW, SHRINK] }] }
  - kexec: { release: "7.3" }
  - retrieve: vm-1
  - fault: { at: radix.alloc-node, nth: 3 }
  - kexec
expect: { outcome: handover, intact: [cache, vm-1], damaged: 0 }
`;

test('a plan reads as it is meant: sizes as bytes, tokens of 64 bits exact, lines kept', () => {
  const scenario = parseScenario(PLAN, 'plans/vm-host.yaml');
  expect(scenario.id).toBe('vm-host');
  expect(scenario.spec.machine.memory).toBe(8 * 2 ** 30);
  expect(scenario.spec.steps[1]?.session?.files[0]).toEqual({
    token: '0xdeadbeefcafe0044',
    memfd: 2 ** 31,
    seals: ['GROW', 'SHRINK'],
  });
  expect(scenario.steps.map((step) => [step.line, step.verb])).toEqual([
    [5, 'preserve folios'],
    [6, 'session'],
    [7, 'kexec'],
    [8, 'retrieve'],
    [9, 'fault'],
    [10, 'kexec'],
  ]);
});

test('without a page size, all that the architecture has', () => {
  const sizes = (machine: string) =>
    parseScenario(`name: x\nmachine: ${machine}\nsteps: []`, 'x').pageSizes.map((p) => p.name);
  expect(sizes('{}')).toEqual(['4K', '16K', '64K']);
  expect(sizes('{ arch: x86_64 }')).toEqual(['4K']);
  expect(sizes('{ pageSize: [64K, 4K] }')).toEqual(['64K', '4K']);
});

test.each([
  ['outside RAM', ['{ what: fdt, offset: 1T }'], 'the corruption leaves RAM'],
  [
    'behind a wild pointer',
    [`{ what: tree-root, bytes: "${'ff '.repeat(4096).trim()}" }`, '{ what: tree-leaf }'],
    'an earlier corruption cut this part of the tree off',
  ],
])('a corruption %s is the file’s mistake, with the line of the jump', (_, corruptions, message) => {
  const steps = corruptions.map((text) => `  - corrupt: ${text}\n`).join('');
  const text = `name: x\nmachine: { pageSize: 4K, memory: 1G }\nsteps:\n${steps}  - kexec: {}\n`;
  const scenario = parseScenario(text, 'plan.yaml');
  expect(() => runScenario(scenario, { page: PAGE_4K })).toThrow(
    new RegExp(`plan.yaml:${4 + corruptions.length}: .*${message}`),
  );
});

describe('what is wrong in a file is said with its line and a way out', () => {
  test.each([
    ['truncated', PLAN.slice(0, 300), /^plan\.yaml:\d+: not YAML: /],
    ['empty', '', 'plan.yaml: the file: is not a block of `key: value`'],
    ['a list', '- a\n- b\n', 'plan.yaml:1: the file: is not a block of `key: value`'],
    ['not text', '\u0000\u0001\u0002', /^plan\.yaml:\d+: /],
    ['tabs', 'name: x\nsteps:\n\t- kexec\n', /not YAML.*\n {2}hint: indent with spaces/],
    ['a key twice', `${PLAN}name: again\n`, /^plan\.yaml:12: not YAML: Map keys must be unique/],
    ['steps missing', 'name: x\n', 'plan.yaml:1: steps: is missing; it has to be a list'],
    [
      'a verb mistyped',
      PLAN.replace('retrieve', 'retreive'),
      "plan.yaml:8: steps: there is no 'retreive' here\n  hint: did you mean 'retrieve'?",
    ],
    [
      'a key mistyped',
      PLAN.replace('count', 'cuont'),
      "plan.yaml:5: steps: preserve folios: there is no 'cuont' here\n  hint: did you mean 'count'?",
    ],
    [
      'two verbs in a step',
      PLAN.replace('- retrieve: vm-1', '- { retrieve: vm-1, finish: vm-1 }'),
      /^plan\.yaml:8: steps: is not one step/,
    ],
    ['a number mistyped', PLAN.replace('nth: 3', 'nth: x'), 'plan.yaml:9: steps: fault: nth: is not a number'],
    [
      'a size mistyped',
      PLAN.replace('2G', '2Q'),
      'plan.yaml:6: steps: session: files: memfd: is not a size or address; write 4096, 0x1000, 64M or 2G',
    ],
    [
      'a size beyond all numbers',
      PLAN.replace('2G', '0xffffffffffffffff'),
      'plan.yaml:6: steps: session: files: memfd: is no whole number of bytes from 0 to 2^53 - 1',
    ],
    [
      'no such fault site',
      PLAN.replace('radix.alloc-node', 'radix.alloc-nodes'),
      /^plan\.yaml:9: steps: fault: at: is not one of those there are\n {2}hint: one of mm\.alloc-pages, radix\.alloc-node, /,
    ],
    [
      'no such seal',
      PLAN.replace('SHRINK', 'SHRNK'),
      /^plan\.yaml:6: steps: session: files: seals: .*\n {2}hint: one of SEAL, SHRINK/,
    ],
    [
      'a count too small',
      PLAN.replace('512', '0'),
      'plan.yaml:5: steps: preserve folios: count: is too small\n  hint: 1 or more',
    ],
    [
      'no such release',
      PLAN.replace('"7.3", cmd', '"7.33", cmd'),
      /^plan\.yaml:3: there is no release '7\.33'\n {2}hint: one of .*7\.3/,
    ],
    [
      'an unknown quirk',
      PLAN.replace('release: "7.3", cmdline', 'release: "7.1", quirks: [unpreserve-ignore-nodes], cmdline'),
      /^plan\.yaml:3: there is no quirk 'unpreserve-ignore-nodes'\n {2}hint: did you mean 'unpreserve-ignores-nodes'/,
    ],
    [
      'an unknown quirk of a next kernel',
      PLAN.replace('kexec: { release: "7.3" }', 'kexec: { quirks: [old] }'),
      /^plan\.yaml:7: there is no quirk 'old'\n {2}hint: one of .*unpreserve-ignores-nodes/,
    ],
    [
      'no such object',
      PLAN.replace('intact: [cache', 'intact: [cash'),
      "plan.yaml:11: nothing is called 'cash' here\n  hint: did you mean 'cache'?",
    ],
    [
      'two measures',
      PLAN.replace('order: 9', 'order: 9, size: 2M'),
      'plan.yaml:5: a folio has an order or a size, one of both',
    ],
    [
      'a node too many',
      PLAN.replace('order: 9', 'order: 9, nid: 2'),
      'plan.yaml:5: the machine has no node 2\n  hint: nodes: 0, 1',
    ],
    [
      'a node without memory that has some',
      PLAN.replace('nodes: 2', 'nodes: 2, memorylessNodes: [1, 2]'),
      'plan.yaml:2: node 1 has memory',
    ],
    [
      'x86 with large pages',
      PLAN.replace('arm64, pageSize: 4K', 'x86_64, pageSize: 64K'),
      'plan.yaml:2: x86_64 has pages of 4K only\n  hint: use arch: arm64 for 16K and 64K',
    ],
    [
      'intact and damaged',
      PLAN.replace('damaged: 0', 'damagedObjects: [cache]'),
      "plan.yaml:11: 'cache' cannot be intact and damaged",
    ],
    [
      'an alias bomb',
      `name: x\na: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n`,
      /^plan\.yaml: not YAML: Excessive alias count/,
    ],
  ])('%s', (_, text, message) => {
    if (typeof message === 'string') expect(messagesOf(text)).toBe(message);
    else expect(messagesOf(text)).toMatch(message);
  });

  test('a key that is a list or a mapping is refused where it stands', () => {
    expect(messagesOf(PLAN.replace('about:', '? [a, b]\n: x\nabout:').replace('machine:', '? {}\n: x\nmachine:'))).toBe(
      'plan.yaml:2: not YAML: With stringKeys, all keys must be strings',
    );
  });

  test('several mistakes are all named, by line', () => {
    const text = PLAN.replace('cuont', 'count').replace('nth: 3', 'nth: x').replace('512', '-1').replace('8G', '8Z');
    expect([...messagesOf(text).matchAll(/plan\.yaml:(\d+)/g)].map((match) => match[1])).toEqual(['2', '5', '9']);
  });

  test('a plan cut anywhere is either refused with messages or a shorter plan', () => {
    for (let end = 0; end < PLAN.length; end += 19) {
      expect(messagesOf(PLAN.slice(0, end))).toMatch(/^(plan\.yaml(:\d+)?: |accepted)/);
    }
  });
});

test('a file that is not there is for the command line to say', () => {
  expect(() => loadScenario('no/such/plan.yaml')).toThrow(/ENOENT/);
});

test('the JSON Schema that is shipped is that of the code (write it with dist/scenarios/write-schema.js)', () => {
  const shipped: unknown = JSON.parse(readFileSync(join(packageRoot(), 'scenarios/scenario.schema.json'), 'utf8'));
  expect(shipped).toEqual(JSON.parse(JSON.stringify(scenarioJsonSchema())));
});

test('quantities', () => {
  expect(['64M', '0x1000', '1.5K', '2 GiB', '7', '1.5', 'x', '64Q', ''].map(parseQuantity)).toEqual([
    2 ** 26,
    4096,
    1536,
    2 ** 31,
    7,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  expect([2 ** 26, 4097, 0, 2 ** 40].map(formatQuantity)).toEqual(['64M', '4097', '0', '1T']);
  expect([0, 1536, 2 ** 31].map(formatBytes)).toEqual(['0 B', '1.5 KiB', '2 GiB']);
});
