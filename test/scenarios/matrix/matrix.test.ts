import { describe, expect, test } from 'vitest';
import { RADIX_V4 } from '../../../kernel/abi/radix.ts';
import { type Release, releaseByName } from '../../../kernel/index.ts';
import { PAGE_4K, PAGE_16K, PAGE_64K, type PageSize } from '../../../machine/index.ts';
import { runOldKernel } from '../../../scenarios/handover/old-kernel.ts';
import type { WorkloadName } from '../../../scenarios/handover/workload.ts';
import { runCell } from '../../../scenarios/matrix/cell.ts';
import { formatMatrix } from '../../../scenarios/matrix/format.ts';
import { runMatrix } from '../../../scenarios/matrix/matrix.ts';

function release(name: string): Release {
  const found = releaseByName(name);
  if (found === undefined) throw new Error(`no release ${name}`);
  return found;
}

function cell(from: string, to: string, page: PageSize, workload: WorkloadName = 'core') {
  return runCell(runOldKernel(release(from), page, workload, 1), release(to));
}

/** What real kernels do (real-matrix.json), and what follows from the formats at the other page sizes. */
const CELLS: readonly (readonly [string, string, PageSize, string])[] = [
  ['6.16', '6.17.8', PAGE_4K, 'handover'],
  ['6.17.9', '7.0', PAGE_4K, 'handover'],
  ['7.0', '7.1', PAGE_4K, 'cold-boot'],
  ['7.1', '7.2', PAGE_16K, 'cold-boot'],
  ['7.1-rc5', '7.1', PAGE_4K, 'handover'],
  ['7.1', '7.1-rc5', PAGE_64K, 'handover'],
  ['7.1-rc5', '7.1', PAGE_16K, 'oops'],
  ['7.1', '7.1-rc5', PAGE_16K, 'oops'],
  ['6.18', '6.17.8', PAGE_16K, 'corrupt'],
  ['6.17.8', '6.18', PAGE_64K, 'oops'],
];

describe('cells of the matrix, executed', () => {
  test.each(CELLS)('%s read by %s', (from, to, page, outcome) => {
    expect(cell(from, to, page).outcome).toBe(outcome);
  });

  test('7.2 and 7.3 hand over every client, both ways', () => {
    expect(cell('7.2', '7.3', PAGE_4K, 'clients')).toMatchObject({
      outcome: 'handover',
      pagesLost: 0,
      pagesPhantom: 0,
    });
    expect(cell('7.3', '7.2', PAGE_64K, 'clients')).toMatchObject({ outcome: 'handover', pagesLost: 0 });
  });

  test('7.0 panics on LUO from 6.19, which has no node for FLBs', () => {
    const { outcome, detail } = cell('6.19', '7.0', PAGE_4K, 'clients');
    expect(outcome).toBe('panic');
    expect(detail).toContain('[-2]');
  });

  test('the bitmaps of 6.17.8 read as whole pages make phantom pages, and are named', () => {
    const found = cell('6.17.8', '6.17.9', PAGE_4K);
    expect(['oops', 'corrupt']).toContain(found.outcome);
    expect(found.pagesPhantom).toBeGreaterThan(0);
    expect(found.detail).toMatch(/phantom pages: 0x/);
  });

  test('what lies behind the first 512 bytes of a bitmap is lost to 6.17.8, and is named', () => {
    const found = cell('6.17.9', '6.17.8', PAGE_4K);
    expect(found.pagesLost).toBeGreaterThan(0);
    expect(found.detail).toMatch(/pages lost: 0x/);
  });

  test('a bad cell says what in the contracts is behind it', () => {
    expect(cell('7.1', '7.1-rc5', PAGE_16K).detail).toMatch(/Why: map\.geometry\.depth differs under kho-v3: /);
    expect(cell('6.18', 'kho-radix-rfc-v1', PAGE_64K)).toMatchObject({
      outcome: 'corrupt',
      detail: expect.stringContaining('Why: map.format differs under kho-v1: another data structure altogether'),
    });
  });

  test('another page size on the other side is never refused, and oopses or corrupts', () => {
    const old = runOldKernel(release('7.3'), PAGE_4K, 'core', 1);
    for (const page of [PAGE_16K, PAGE_64K]) {
      const found = runCell(old, release('7.3'), page);
      expect(['oops', 'corrupt']).toContain(found.outcome);
    }
  });

  test('one constant of a contract changed, and cells change', () => {
    const old = runOldKernel(release('7.3'), PAGE_4K, 'core', 1);
    const shallow = {
      ...RADIX_V4,
      geometry: { ...RADIX_V4.geometry, depth: 'divRoundUp(KEY_WIDTH - BITMAP_LOG2, TABLE_LOG2)' },
    };
    const changed: Release = { ...release('7.3'), name: '7.3-shallow', map: shallow };
    expect(runCell(old, release('7.3')).outcome).toBe('handover');
    expect(['oops', 'corrupt']).toContain(runCell(old, changed).outcome);
  });

  test('names longer than a column, and more columns than 80 characters hold', () => {
    const names = ['6.17.8', '6.17.9', '7.1-rc5', 'kho-radix-rfc-v1'];
    const cells = names.flatMap((old) =>
      [...names, ...names.map((name) => `${name}-next`)].map((next) => ({
        old,
        new: next,
        pageSize: 4096,
        outcome: 'handover' as const,
        detail: '',
        pagesLost: 0,
        pagesPhantom: 0,
        clientsBroken: [],
      })),
    );
    expect(formatMatrix({ workload: 'core', cells })).toMatchInlineSnapshot(`
      "workload core; H handover   . cold boot   C corrupt   O oops   P panic

      4K pages
      old\\new          6.17.8 6.17.9 7.1-rc5 kho-radix-rfc-v1 6.17.8-next 6.17.9-next
      6.17.8                H      H       H                H           H           H
      6.17.9                H      H       H                H           H           H
      7.1-rc5               H      H       H                H           H           H
      kho-radix-rfc-v1      H      H       H                H           H           H

      old\\new          7.1-rc5-next kho-radix-rfc-v1-next
      6.17.8                      H                     H
      6.17.9                      H                     H
      7.1-rc5                     H                     H
      kho-radix-rfc-v1            H                     H
      "
    `);
  });

  test('equal seeds give equal cells', () => {
    const request = {
      releases: [release('7.2'), release('7.3')],
      pageSizes: [PAGE_64K],
      crossPageSize: false,
      seed: 3,
    };
    const first = runMatrix({ ...request, workload: 'core' });
    expect(runMatrix({ ...request, workload: 'core' })).toEqual(first);
    expect(formatMatrix(first)).toMatchInlineSnapshot(`
      "workload core; H handover   . cold boot   C corrupt   O oops   P panic

      64K pages
      old\\new    7.2    7.3
      7.2          H      H
      7.3          H      H
      "
    `);
  });
});
