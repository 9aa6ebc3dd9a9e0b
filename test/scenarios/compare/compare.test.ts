import { describe, expect, test } from 'vitest';
import { PAGE_4K, PAGE_16K, PAGE_64K, PAGE_SIZES } from '../../../machine/index.ts';
import { compareWorkload } from '../../../scenarios/compare/compare.ts';
import { formatCompare } from '../../../scenarios/compare/format.ts';
import { measureScenario, worksWith } from '../../../scenarios/compare/measure-scenario.ts';
import { smallestMachine } from '../../../scenarios/compare/smallest.ts';
import { findWorkload, scenarioWorkloads, type Workload } from '../../../scenarios/compare/workloads.ts';
import { InputError } from '../../../scenarios/input-error.ts';
import { parseScenario } from '../../../scenarios/run/load.ts';

const MIB = 2 ** 20;

/** A workload as a user would write it. */
function custom(steps: string, head = 'machine: { memory: 4G }'): Workload {
  const scenario = parseScenario(`name: mine\n${head}\nsteps:\n${steps}\n`, 'mine.yaml');
  return { kind: 'scenario', name: 'mine.yaml', scenario };
}

const SMALL = custom(
  '  - preserve folios: { order: 0, total: 8M, scatter: true, as: cache }\n  - preserve pages: { size: 100K, as: odd }\n  - kexec',
);

describe('a comparison', () => {
  const result = compareWorkload(SMALL, PAGE_SIZES, { measureOnly: true });
  const row = (id: string) => result.rows.find((each) => each.id === id)?.values;

  test('is the same for the same seed, and another for another', () => {
    expect(compareWorkload(SMALL, PAGE_SIZES, { measureOnly: true })).toEqual(result);
    const other = compareWorkload(SMALL, [PAGE_4K], { measureOnly: true, seed: 2 });
    expect(other.details[0]?.memory).not.toEqual(result.details[0]?.memory);
  });

  test('has the rows that the contract names', () => {
    const ids = result.rows.map((each) => each.id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toEqual(
      expect.arrayContaining([
        ...['key-width', 'tree-depth', 'tree-nodes', 'tree-bytes', 'metadata-per-gib', 'bytes-over-preserved', 'keys'],
        ...['walk-slots', 'walk-words', 'memblock-regions', 'memblock-doublings', 'kernel-retrieval-steps'],
        ...['scratch-bytes', 'scratch-alignment', 'fdt-bytes', 'client-pages'],
      ]),
    );
  });

  test('counts what the workload asked in bytes, and what was preserved beyond it', () => {
    const asked = 8 * MIB + 100 * 1024;
    expect(row('asked-bytes')).toEqual({ '4K': asked, '16K': asked, '64K': asked });
    // 100 KiB are 25 pages of 4K; 7 of 16K hold 112 KiB, 2 of 64K 128 KiB.
    expect(row('rounding-bytes')).toEqual({ '4K': 0, '16K': 12 * 1024, '64K': 28 * 1024 });
    for (const column of result.columns) {
      expect(row('preserved-bytes')?.[column]).toBe(asked + (row('bytes-over-preserved')?.[column] ?? 0));
    }
  });

  test('adds up: levels to the tree, orders to the keys', () => {
    for (const [column, detail] of result.details.entries()) {
      const name = result.columns[column] as string;
      const levels = result.rows.filter((each) => each.id.startsWith('tree-bytes-level-'));
      expect(levels.reduce((sum, each) => sum + (each.values[name] ?? 0), 0)).toBe(row('tree-bytes')?.[name]);
      const orders = Object.values(detail.keysByOrder);
      expect(orders.reduce((sum, keys) => sum + keys, 0)).toBe(row('keys')?.[name]);
      expect(detail.outcome).toBe('handover');
    }
  });

  test('shows scattered pages as regions, whose number grows as pages get smaller', () => {
    const regions = row('memblock-regions') ?? {};
    expect(regions['4K']).toBeGreaterThan(1500);
    expect(regions['16K']).toBeLessThan(regions['4K'] as number);
    expect(regions['64K']).toBeLessThan(regions['16K'] as number);
    const steps = row('kernel-retrieval-steps') ?? {};
    // Quadratic: a fourth of the pages scan about a sixteenth of the regions.
    expect((steps['4K'] as number) / (steps['16K'] as number)).toBeGreaterThan(8);
  });

  test('is told in 80 columns', () => {
    const text = formatCompare(result);
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(text).toContain('tree size');
  });

  test('says at 64K what scratch costs on a small machine, and what helps, from runs with it', () => {
    const notes = result.notes.filter((note) => note.column === '64K');
    expect(notes[0]?.text).toContain('512 MiB');
    const remedies = notes.filter((note) => note.kind === 'remedy').map((note) => note.text);
    expect(remedies).toHaveLength(2);
    expect(remedies[0]).toMatch(/kho_scratch=512M,0,0 .*comes through with 512 MiB/);
    expect(remedies[1]).toMatch(/MAX_PAGE_ORDER 9 .*comes through/);
  });
});

describe('the smallest machine', () => {
  const { scenario } = custom('  - preserve pages: { size: 1M, as: one }\n  - kexec') as Workload & {
    readonly kind: 'scenario';
  };

  test('is one on which the scenario comes through, and on half of it it does not', () => {
    const least = smallestMachine(scenario, PAGE_64K, 4 * 1024 * MIB);
    expect(worksWith(scenario, PAGE_64K, { memoryBytes: least })).toBe(true);
    expect(worksWith(scenario, PAGE_64K, { memoryBytes: least / 2 })).toBe(false);
    expect(least).toBeGreaterThan(512 * MIB);
    expect(least).toBeLessThan(4 * 1024 * MIB);
  });
});

describe('workloads', () => {
  test('of little content come through, content and all', () => {
    for (const name of scenarioWorkloads().filter(
      (each) => !['vm-host', 'page-cache', 'many-sessions'].includes(each),
    )) {
      const workload = findWorkload(name);
      if (workload.kind !== 'scenario') throw new Error('not a scenario');
      expect(measureScenario(workload.scenario, PAGE_16K).works, name).toBe(true);
    }
  });

  test('of a name that nobody has are refused, with one that is near', () => {
    expect(() => findWorkload('vm-hots')).toThrow(InputError);
    expect(() => findWorkload('vm-hots')).toThrow(/vm-host/);
  });

  test('that one page size cannot do are compared at the others, and said so', () => {
    const workload = custom('  - preserve folios: { size: 16K, as: small }\n  - kexec');
    const result = compareWorkload(workload, PAGE_SIZES, { measureOnly: true });
    expect(result.details.map((detail) => detail.column)).toEqual(['4K', '16K']);
    expect(result.notes.find((note) => note.column === '64K')?.text).toContain('smaller than a page');
    expect(() => compareWorkload(workload, [PAGE_64K], { measureOnly: true })).toThrow(InputError);
  });

  test('of releases with a list of chunks have no tree, but sizes', () => {
    const workload = custom(
      '  - preserve folios: { order: 0, count: 3, as: few }\n  - kexec',
      'machine: { memory: 4G }\nkernel: { release: "6.19" }',
    );
    const result = compareWorkload(workload, [PAGE_4K], { measureOnly: true });
    expect(result.rows.find((each) => each.id === 'tree-depth')).toBeUndefined();
    expect(result.rows.find((each) => each.id === 'tree-bytes')?.values['4K']).toBeGreaterThan(0);
  });
});
