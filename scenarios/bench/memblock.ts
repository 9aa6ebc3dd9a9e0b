import { retrievePreserved } from '../../kernel/kho/retrieve.ts';
import { PageStates } from '../../kernel/mm/page-states.ts';
import { LATEST_RELEASE } from '../../kernel/release.ts';
import { PAGE_4K, PhysicalMemory, physAddr, Random } from '../../machine/index.ts';
import { Memblock } from '../../machine/memblock/memblock.ts';
import type { Clock } from './clock.ts';
import type { BenchTable } from './table.ts';

const GIB = 2 ** 30;
const ROUNDS = 5;

/** Order-0 keys that a retrieval meets. */
export interface RetrievalWorkload {
  readonly name: string;
  readonly nrKeys: number;
  /** Frames from one key to the next. */
  readonly stride: number;
  /** In random order; a walk always ascends. */
  readonly shuffled?: boolean;
}

const WORKLOADS: readonly RetrievalWorkload[] = [
  { name: '1e5 scattered', nrKeys: 1e5, stride: 2 },
  { name: '1e6 scattered', nrKeys: 1e6, stride: 2 },
  { name: '1e6 contiguous', nrKeys: 1e6, stride: 1 },
  { name: '1e5 scattered, in random order', nrKeys: 1e5, stride: 2, shuffled: true },
];

function framesOf({ nrKeys, stride, shuffled }: RetrievalWorkload): Float64Array {
  const frames = new Float64Array(nrKeys);
  for (let i = 0; i < nrKeys; i++) frames[i] = 0x1000 + i * stride;
  if (shuffled !== true) return frames;
  const random = new Random(1);
  for (let i = nrKeys - 1; i > 0; i--) {
    const j = random.below(i + 1);
    const frame = frames[i] as number;
    frames[i] = frames[j] as number;
    frames[j] = frame;
  }
  return frames;
}

/** Retrieves on a fresh machine of 64 GiB with 1 GiB of scratch. @returns memblock, and the milliseconds it took. */
export function benchRetrieval(
  workload: RetrievalWorkload,
  now: () => number,
): { readonly ms: number; readonly memblock: Memblock } {
  const frames = framesOf(workload);
  const banks = [{ base: physAddr(0), sizeBytes: 64 * GIB, nid: 0 }];
  const memory = new PhysicalMemory(PAGE_4K, banks);
  const pages = new PageStates(PAGE_4K, banks);
  const memblock = new Memblock({ page: PAGE_4K, memory });
  memblock.addNode(0, 64 * GIB, 0);
  memblock.allowResize();
  memblock.markKhoScratch(60 * GIB, GIB);
  memblock.khoScratchOnly = true;
  const start = now();
  retrievePreserved({ memblock, pages, page: PAGE_4K, quirks: LATEST_RELEASE.quirks }, (visit) => {
    for (let i = 0; i < frames.length; i++) {
      const phys = (frames[i] as number) * PAGE_4K.sizeBytes;
      visit(phys >>> 0, Math.floor(phys / 0x1_0000_0000), 0);
    }
  });
  return { ms: now() - start, memblock };
}

/** Retrieval into memblock, and beside it what the kernel's flat arrays cost for the same tables. */
export function benchMemblock({ cpuMs }: Clock): BenchTable {
  const rows = WORKLOADS.map((workload) => {
    const runs = Array.from({ length: ROUNDS }, () => benchRetrieval(workload, cpuMs));
    const best = runs.reduce((a, b) => (a.ms <= b.ms ? a : b));
    const { cost, reserved } = best.memblock;
    return [
      workload.name,
      best.ms.toFixed(1),
      `${reserved.count}`,
      `${cost.doublings}`,
      cost.regionsScanned.toExponential(2),
      cost.bytesMoved.toExponential(2),
    ];
  });
  return {
    title: `retrieval into memblock: reserve, noinit and struct page of order-0 keys, 4K, milliseconds of processor time, minimum of ${ROUNDS}`,
    columns: ['keys', 'ms', 'regions', 'doublings', 'kernel: regions scanned', 'kernel: bytes moved'],
    rows,
    note: 'The kernel scans its arrays from the start for each key: 1e5 scattered keys take its C about 11 s, 1e6 about 18 minutes.',
  };
}
