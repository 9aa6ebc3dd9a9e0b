import { describe, expect, test } from 'vitest';
import { releaseByName } from '../../../kernel/index.ts';
import { bootCaptured } from '../../../scenarios/boot/boot-captured.ts';
import { openCapturedMemory } from '../../../scenarios/io/captured-memory.ts';
import { fixtureJson } from './subject.ts';

interface Row {
  readonly old: string;
  readonly new: string;
  readonly pageSize: number;
  readonly outcome: string;
  readonly khoTest: string;
  readonly preserved: number | null;
  readonly preservedNotReserved: number | null;
  readonly log: readonly string[];
}

interface Expected {
  readonly pageSize: number;
  readonly preserved: { readonly walkOrder: readonly (readonly [string, number])[] };
}

const FOLDERS: Readonly<Record<string, string>> = Object.fromEntries(
  ['6.17.8', '6.18.15', '6.19.11', '7.1.13', '7.3.4'].map((release) => [release, `linux-${release}-arm64-4k`]),
);

/** Rows whose old kernel's memory is among the fixtures. */
const rows = fixtureJson<Row[]>('real-matrix.json').filter((row) => row.old in FOLDERS && row.pageSize === 4096);

describe('real handovers read by every release, as real kernels read them', () => {
  test.each(rows.map((row) => [row.old, row.new, row] as const))('%s read by %s', (old, reader, row) => {
    const folder = FOLDERS[old] ?? '';
    const release = releaseByName(reader);
    if (release === undefined) throw new Error(`no release ${reader}`);
    const captured = openCapturedMemory(new URL(`../../fixtures/${folder}/image.json`, import.meta.url).pathname);
    const document = bootCaptured(captured, {
      release,
      cmdline: 'kho=on liveupdate=on reserve_mem=2M:64K:khosim_rm kho_scratch=32M,16M,16M',
    });
    captured.close();
    // `boot` does not know what was meant to be preserved, so it has no word for corrupt: that is in memblock.
    expect(document.outcome).toBe(row.outcome === 'corrupt' ? 'handover' : row.outcome);
    if (row.khoTest === 'ok') expect(document.khoTest).toBe('ok');
    else expect(['absent', 'failed']).toContain(document.khoTest);
    const found = document.log.filter((line) => /^KHO: (found|setup|disabling|exec from)/.test(line));
    if (row.outcome !== 'oops') expect(found).toEqual(row.log.filter((line) => line.startsWith('KHO: ')));
    if (row.outcome !== 'corrupt' && row.outcome !== 'handover') return;
    const { preserved, pageSize } = fixtureJson<Expected>(`${folder}/expected.json`);
    const reserved = document.memblock.reserved.map(
      ({ base, size }) => [Number(base), Number(base) + Number(size)] as const,
    );
    const lost = preserved.walkOrder.filter(([phys, order]) => {
      const start = Number(phys);
      const end = start + pageSize * 2 ** order;
      // Neighbouring regions with different flags touch: walk over them.
      let at = start;
      for (const [from, to] of reserved) if (from <= at && to > at) at = to;
      return at < end;
    });
    expect(lost).toHaveLength(row.preservedNotReserved ?? 0);
  });
});

describe('a root FDT whose structure block is not aligned', () => {
  // off_dt_struct of the real 7.1.13 and 6.19.11 root FDTs, one byte further.
  test.each([
    ['7.1.13', -19],
    ['6.19.11', undefined],
  ] as const)('is refused by %s only from 7.1 on', (name, error) => {
    const folder = FOLDERS[name] ?? '';
    const path = new URL(`../../fixtures/${folder}/image.json`, import.meta.url).pathname;
    const plain = openCapturedMemory(path);
    const phys = plain.fdt?.phys ?? 0;
    const offset = plain.ram.readBounded(phys + 8, 4)?.bytes[3] ?? 0;
    plain.close();
    const captured = openCapturedMemory(path, { patches: [{ phys: phys + 11, bytes: Uint8Array.of(offset + 1) }] });
    const document = bootCaptured(captured, { release: releaseByName(name), cmdline: 'kho=on' });
    captured.close();
    expect(document.outcome).toBe('cold-boot');
    expect(document.log.some((line) => line.includes(`invalid: ${error}`))).toBe(error !== undefined);
  });
});
