import { Kernel, type Release } from '../../kernel/index.ts';
import { imageFill, Machine, type PageSize, type Pfn, PhysicalMemory, physAddr } from '../../machine/index.ts';
import { type HandoverVerdict, judge } from './judge.ts';
import { type NoJump, type OldKernel, optionsOf, runOldKernel } from './old-kernel.ts';
import { banksOf, PROBE } from './size.ts';
import type { WorkloadName } from './workload.ts';

/** Boots a new kernel on an old one's memory and judges what came over. Nothing is computed from the contracts. */
export function runNewKernel(
  old: OldKernel | NoJump,
  release: Release,
  page: PageSize = old.plan.page,
): HandoverVerdict {
  if ('verdict' in old) return old.verdict;
  const { plan } = old;
  old.memory.restore(old.version);
  const memory = page === plan.page ? old.memory : withPages(old.memory, page);
  const power = { arch: 'arm64', page, banks: banksOf(plan.size, plan.page), seed: plan.seed } as const;
  const machine = Machine.resume(power, memory, old.registers);
  machine.segments = old.segments;
  const verdict = judge(Kernel.boot(machine, optionsOf(release, { ...plan, page })), old.left);
  const { refused } = old.left.handed;
  return refused.length === 0
    ? verdict
    : { ...verdict, detail: `${verdict.detail}; ${refused.length} refused by the old kernel (${refused[0]})` };
}

/** One small handover from an old release to a new one. @throws whatever a codec does whose contract lacks something. */
export function probeHandover(
  before: Release,
  after: Release,
  page: PageSize,
  workload: WorkloadName,
): HandoverVerdict {
  return runNewKernel(runOldKernel(before, page, workload, 1, PROBE), after);
}

/** The same bytes under another page size: each new page is read out of the old ones when somebody looks. */
function withPages(memory: PhysicalMemory, page: PageSize): PhysicalMemory {
  const same = new PhysicalMemory(page, memory.banks);
  const source = {
    readPage: (pfn: number, words: Uint32Array) => {
      words.set(new Uint32Array(memory.readBytes(physAddr(pfn * page.sizeBytes), page.sizeBytes).buffer));
    },
  };
  for (const bank of memory.banks) {
    same.fillPages((bank.base / page.sizeBytes) as Pfn, bank.sizeBytes / page.sizeBytes, imageFill(source, 0));
  }
  return same;
}
