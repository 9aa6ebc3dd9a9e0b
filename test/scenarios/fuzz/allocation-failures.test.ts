import { describe, expect, test } from 'vitest';
import { ADD_SUBTREE_SITE, ALLOC_PAGES_SITE, ALLOC_PRESERVE_SITE, ROOT_FDT_SITE } from '../../../kernel/fault-sites.ts';
import { PAGE_4K, PAGE_64K } from '../../../machine/page-size.ts';
import type { Order } from '../../../machine/units.ts';
import {
  cleanRun,
  runWithFailure,
  sweepFailures,
  withLastHandover,
} from '../../../scenarios/fuzz/allocation-failures.ts';
import { DEFECTS, FAILURE_TABLE } from '../../../scenarios/fuzz/failure-table.ts';
import { takeStock, unowned } from '../../../scenarios/fuzz/take-stock.ts';
import { subtract } from '../../../scenarios/handover/intervals.ts';
import { libraryScenario } from '../../../scenarios/run/library.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';
import { libraryScenarioOn } from './allocation-failures.ts';

const NOTHING = { pages: 0, bytes: 0 };

/** So many calls of each scenario fail here, evenly spread. All of them do in the long run. */
const SAMPLE = 5;

const sampled = (index: number, total: number): boolean =>
  Math.floor((index * SAMPLE) / total) !== Math.floor(((index - 1) * SAMPLE) / total);

describe('an allocation fails: the kernel’s error, nothing leaked or half made, and the next handover is good', () => {
  test.each([
    ['real-kernel', PAGE_4K],
    ['real-kernel-x86_64', PAGE_4K],
    ['sessions', PAGE_64K],
    ['reserve-mem-resized', PAGE_4K],
    ['from-6.18', PAGE_4K],
    ['allocation-failure', PAGE_4K],
  ])('%s', (name, page) => {
    const sweep = sweepFailures(libraryScenario(name), page, sampled);
    expect(sweep.wrong).toEqual([]);
    expect(sweep.calls).toBe(SAMPLE);
    expect(sweep.endsWithHandover).toBe(true);
  });

  test.each(['6.17.9', '6.19', '7.1'])('what a real kernel leaves, as %s leaves it', (release) => {
    const sweep = sweepFailures(libraryScenarioOn('real-kernel', release), PAGE_4K, sampled);
    expect(sweep.wrong).toEqual([]);
    expect(Object.keys(sweep.results).every((key) => key.startsWith(release))).toBe(true);
  });
});

test('a vmalloc chunk that 6.18 cannot have is taken for success, and the damage has a name', () => {
  const scenario = libraryScenarioOn('vmalloc', '6.18');
  const clean = cleanRun(scenario, PAGE_4K, ['vmalloc.alloc-chunk']);
  const call = clean.calls.find(({ step, nth }) => scenario.steps[step]?.verb === 'preserve vmalloc' && nth === 3);
  if (call === undefined) throw new Error('no chunk after the first');
  const failed = runWithFailure(scenario, PAGE_4K, call, clean);
  expect(failed).toMatchObject({ came: 'ok', wrong: [], defects: ['vmalloc-forgets-error'] });
});

test('damage that is there without the failure too is not held against it where nobody speaks of it any more', () => {
  // 6.18 maps the first page of each block of a huge area, over and over; a kernel that gets no page for the descriptor
  // stops handing it on, and the WARN of the one after that stays away.
  const scenario = libraryScenarioOn('vmalloc', '6.18');
  const clean = cleanRun(scenario, PAGE_4K, [ALLOC_PRESERVE_SITE]);
  expect(clean.result.verdict).toBe('damaged');
  const call = clean.calls.find(({ kernel, nth }) => kernel === 2 && nth === 3);
  if (call === undefined) throw new Error('the descriptor of the huge area is not allocated again');
  const failed = runWithFailure(scenario, PAGE_4K, call, clean);
  expect(failed.result?.verdict).toBe('corrupt');
  expect(failed.wrong).toEqual([]);
  // Not so if it were not there before.
  const intact = { ...clean.result, kernels: clean.result.kernels.map((each) => ({ ...each, damaged: NOTHING })) };
  expect(runWithFailure(scenario, PAGE_4K, call, { ...clean, result: intact }).wrong).toContain(
    'damage that no kernel mentions',
  );
});

test('a region that was not handed over makes 6.18 refuse the next handover: the new one lies in scratch', () => {
  const scenario = withLastHandover(libraryScenarioOn('real-kernel', '6.18'));
  const clean = cleanRun(scenario, PAGE_4K, [ALLOC_PAGES_SITE]);
  const call = clean.calls.find(({ kernel, nth }) => kernel === 1 && nth === 8);
  if (call === undefined) throw new Error('the FDT of reserve_mem is not allocated');
  const failed = runWithFailure(scenario, PAGE_4K, call, clean);
  expect(failed).toMatchObject({ came: 'ok', wrong: [], defects: ['region-in-scratch'] });
  expect(failed.result).toMatchObject({ outcome: 'refused', reason: '-EINVAL' });
});

test('a range that is not taken back is explained only where its loop went backwards without the failure too', () => {
  const failure = {
    site: ALLOC_PAGES_SITE,
    verb: 'preserve pages',
    release: '7.3',
    came: 'ENOMEM',
    wrong: 'pages',
    refused: false,
  } as const;
  const names = (otherwise: string) =>
    DEFECTS.filter(({ explains }) => explains({ ...failure, otherwise })).map(({ name }) => name);
  expect(names('oops')).toEqual(['order-31']);
  expect(names('ok')).toEqual([]);
});

test('a kernel that cannot set up KHO after a handover frees scratch a second time, whatever failed', () => {
  const scenario = libraryScenario('allocation-failure');
  const clean = cleanRun(scenario, PAGE_4K, [ROOT_FDT_SITE, ADD_SUBTREE_SITE]);
  const calls = clean.calls.filter(({ kernel, step }) => kernel === 2 && step === -1);
  expect(calls.map(({ site }) => site).sort()).toEqual([ADD_SUBTREE_SITE, ROOT_FDT_SITE]);
  for (const call of calls) expect(runWithFailure(scenario, PAGE_4K, call, clean).result?.outcome).toBe('panic');
});

test('every call is found, and comes in the step in which it was counted', () => {
  const scenario = libraryScenario('allocation-failure');
  const { calls } = cleanRun(scenario, PAGE_4K, [ALLOC_PAGES_SITE]);
  expect(calls.filter(({ kernel }) => kernel === 1).map(({ nth }) => nth)).toEqual(
    Array.from({ length: 18 }, (_, i) => i + 1),
  );
  expect(calls.filter(({ kernel, step }) => kernel === 1 && step === -1)).toHaveLength(8);
});

test('every row and every defect says why', () => {
  for (const { why } of FAILURE_TABLE) expect(why.length).toBeGreaterThan(10);
  expect(new Set(DEFECTS.map(({ name }) => name)).size).toBe(DEFECTS.length);
});

test('a page that nobody owns is seen, and so is a free page in the map', () => {
  const seen: string[] = [];
  runScenario(libraryScenario('allocation-failure'), {
    page: PAGE_4K,
    observer: {
      booted: (run, { number }) => {
        if (number !== 1) return;
        const { allocator, kho, page } = run.kernel.context;
        const before = takeStock(run);
        const pfn = allocator.allocPages(0 as Order);
        if (pfn === undefined) throw new Error('no page');
        const lost = subtract(unowned(takeStock(run)), unowned(before));
        kho.preserveFolio({ pfn, order: 0 as Order });
        const preserved = takeStock(run);
        seen.push(`${lost.length} lost, ${subtract(unowned(preserved), unowned(before)).length} when it is preserved`);
        allocator.freePages(pfn, 0 as Order);
        const { freePreserved, wrong } = takeStock(run);
        seen.push(
          `${freePreserved.length} free in the map at ${freePreserved[0]?.[0] === pfn ? 'it' : page.name}`,
          ...wrong,
        );
        kho.unpreserveFolio({ pfn, order: 0 as Order });
      },
    },
  });
  expect(seen).toEqual(['1 lost, 0 when it is preserved', '1 free in the map at it']);
});
