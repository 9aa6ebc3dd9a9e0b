import { describe, expect, test } from 'vitest';
import type { Sabotage } from '../../../kernel/boot/sabotage.ts';
import { PAGE_SIZES, type PageSize } from '../../../machine/index.ts';
import { parseScenario } from '../../../scenarios/run/load.ts';
import type { RunResult } from '../../../scenarios/run/result.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';

const PLAN = `name: two folios
kernel: { cmdline: "kho=on kho_scratch=32M,32M,32M", config: { NUMA: true } }
steps:
  - preserve folios: { order: 4, at: 0x58000000, as: first }
  - preserve folios: { order: 4, at: 0x5a000000, as: second }
  - kexec
`;

/** Orders are walked from the highest: `first` is the first block that the new kernel meets. */
function sabotaged(sabotage: Sabotage, page: PageSize, deferred = false): RunResult {
  const plan = deferred
    ? PLAN.replace('kernel:', 'machine: { memory: 8G }\nkernel:')
        .replace('config: { ', 'config: { DEFERRED_STRUCT_PAGE_INIT: true, ')
        .replace('at: 0x58000000', 'at: 0x190000000')
    : PLAN;
  return runScenario(parseScenario(plan, 'plan.yaml'), { page, sabotage });
}

function failed(run: RunResult): string[] {
  return run.checks.filter((check) => !check.ok).map((check) => check.name);
}

function detail(run: RunResult, name: string): string {
  const check = run.checks.find((each) => each.name === name);
  return `${check?.detail}; first: ${check?.firstBadEvent}`;
}

describe.each(PAGE_SIZES)('a kernel with one defect, at $name pages, is found out', (page) => {
  const end = (0x58000000 + 16 * page.sizeBytes - 1).toString(16);

  test('none: all is well', () => {
    expect(failed(sabotaged({}, page))).toEqual([]);
  });

  test('one reservation left out: the pages go to the page allocator, which fills them', () => {
    const run = sabotaged({ skipReservation: 0 }, page);
    expect(failed(run)).toContain('contents');
    expect(run.damaged.pages).toBe(16);
    expect(detail(run, 'contents')).toContain(`0x58000000-0x${end}`);
    expect(detail(run, 'contents')).toContain(
      'page 0x58000000 was handed to the page allocator (kernel 2: free_all); found after step 3 (line 6: kexec), kernel 2',
    );
    expect(run.objects.map((object) => [object.name, object.state])).toEqual([
      ['first', 'damaged'],
      ['second', 'intact'],
    ]);
  });

  test('one noinit mark left out: the folio comes back with PG_reserved', () => {
    const run = sabotaged({ skipNoinit: 0 }, page);
    expect(failed(run)).toContain('orders and reference counts');
    expect(detail(run, 'orders and reference counts')).toContain(`0x58000000-0x${end}`);
    expect(detail(run, 'orders and reference counts')).toContain('PG_reserved');
  });

  test('one noinit mark left out, with late initialisation: order and magic are gone, nobody can restore', () => {
    const run = sabotaged({ skipNoinit: 1 }, page, true);
    expect(failed(run)).toContain('leaks');
    expect(run.leaked.pages).toBe(16);
    expect(detail(run, 'leaks')).toContain(`0x190000000-0x${(0x190000000 + 16 * page.sizeBytes - 1).toString(16)}`);
    expect(detail(run, 'leaks')).toContain('page 0x190000000 was preserved and never restored');
    expect(run.kernels[1]?.warnings).toBeGreaterThan(0);
  });

  test('one bit lost at the jump: the new kernel knows nothing of the folio', () => {
    const run = sabotaged({ clearBit: 0 }, page);
    expect(failed(run)).toContain('contents');
    expect(run.damaged.pages).toBe(16);
    expect(detail(run, 'contents')).toContain('page 0x58000000 was handed to the page allocator');
  });

  test('one order too many: the folio comes back larger than it was', () => {
    const run = sabotaged({ wrongOrder: 0 }, page);
    expect(failed(run)).toContain('orders and reference counts');
    expect(detail(run, 'orders and reference counts')).toContain('order 5, preserved with 4');
    expect(detail(run, 'orders and reference counts')).toContain('page 0x58000000 came back with another order');
  });

  test('a page of the image over a preserved page: one page damaged, by the loader', () => {
    const run = sabotaged({ imageOverlap: 0 }, page);
    expect(failed(run)).toContain('contents');
    expect(run.damaged.pages).toBe(1);
    expect(detail(run, 'contents')).toContain('page 0x58000000 was overwritten by kexec');
    expect(run.verdict).toBe('corrupt');
  });
});

test('content that changed is found byte by byte, and pages of zeroes count as untested', () => {
  const plan = `name: x
machine: { pageSize: 4K }
kernel: { cmdline: "kho=on kho_scratch=32M,32M,32M" }
steps:
  - preserve pages: { count: 8, as: zeroes, fill: zero }
  - preserve pages: { count: 8, as: pattern }
  - write: { to: pattern, page: 2, offset: 5, bytes: "00 01" }
  - damage: { to: pattern, page: 3, offset: 4095, bytes: "55" }
  - kexec
`;
  const [page] = PAGE_SIZES;
  if (page === undefined) throw new Error('there are page sizes');
  const run = runScenario(parseScenario(plan, 'plan.yaml'), { page });
  expect(run.damaged.pages).toBe(1);
  expect(run.untested.pages).toBe(8);
  expect(detail(run, 'contents')).toContain('was written by a stray write, kernel 1, step 4 (line 8: damage)');
  expect(failed(run)).toEqual(['contents', 'no silent damage']);
});
