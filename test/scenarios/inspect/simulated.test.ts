import { describe, expect, test } from 'vitest';
import { readChosenHandoff } from '../../../kernel/boot-handoff/chosen.ts';
import { isErrno, Kernel, RELEASES, type Release } from '../../../kernel/index.ts';
import {
  type BootHandoff,
  Machine,
  type Order,
  PAGE_16K,
  PAGE_SIZES,
  type PageSize,
  type PhysicalMemory,
  pattern,
  physAddr,
  physOf,
} from '../../../machine/index.ts';
import { handoverInMemory } from '../../../scenarios/inspect/image-source.ts';
import { inspectImage } from '../../../scenarios/inspect/inspect.ts';

const GIB = 2 ** 30;
const ORDERS = [0, 3, 5, 0, 0, 9];

interface Handover {
  readonly memory: PhysicalMemory;
  readonly handoff: BootHandoff;
  readonly folios: readonly (readonly [string, number])[];
}

function handoffOf(machine: Machine): BootHandoff {
  const { registers, memory } = machine;
  if (registers.kind === 'given') return registers.handoff;
  if (registers.kind !== 'boot-dt') throw new Error('no handoff');
  const handoff = readChosenHandoff(memory.readBytes(registers.phys, 0x1_0000));
  if (handoff === undefined) throw new Error('no handoff in /chosen');
  return handoff;
}

/** RAM at the jump, after a simulated kernel preserved a few folios. */
function handOver(release: Release, page: PageSize): Handover {
  const banks = [{ base: physAddr(GIB), sizeBytes: 4 * GIB, nid: 0 }];
  const machine = Machine.powerOn({ arch: 'arm64', page, banks, seed: 3 });
  const sizes = page.shift === 16 ? '512M,512M,512M' : '64M,64M,64M';
  const kernel = Kernel.boot(machine, { release, cmdline: `kho=on liveupdate=on kho_scratch=${sizes}` });
  const folios = ORDERS.map((order): [string, number] => {
    const pfn = kernel.ctx.allocator.allocPages(order as Order, { compound: true });
    if (pfn === undefined) throw new Error('no memory');
    machine.memory.fillPages(pfn, 2 ** order, pattern(7));
    expect(kernel.kho.preserveFolio({ pfn, order: order as Order })).toBe(0);
    return [`0x${physOf(page, pfn).toString(16)}`, order];
  });
  expect(kernel.kho.finalize()).toBe(0);
  const loaded = kernel.load('');
  if (!loaded.ok || isErrno(loaded.value)) throw new Error('the image does not load');
  kernel.jump(loaded.value);
  return { memory: machine.memory, handoff: handoffOf(machine), folios };
}

/** Machines of 64K pages need gigabytes, and their handovers seconds: one release of each kind of memory map has to do. */
const WITH_64K = ['6.17.8', '6.18', '7.1', '7.3'];

const CASES = RELEASES.flatMap((release) =>
  PAGE_SIZES.filter((page) => page.shift < 16 || WITH_64K.includes(release.name)).map((page) => ({
    name: release.name,
    release,
    page,
    size: page.name,
  })),
);

/** At 16K the trees of 7.1-rc5 have no room for the bit that marks order 0: what it preserved is lost, and said to be. */
function losesOrder0(release: Release, page: PageSize): boolean {
  return release.name === '7.1-rc5' && page === PAGE_16K;
}

describe.each(CASES)('what a simulated $name with $size pages left', ({ release, page }) => {
  test('is read back without errors, told to be of a release with this ABI, and gives its page size away', () => {
    const { memory, handoff, folios } = handOver(release, page);
    const image = handoverInMemory(memory, 'arm64', handoff);
    const { document } = inspectImage(image, { list: true, contents: false });
    expect(document.release.candidates).toContain(release.name);
    expect(document.scratch).toHaveLength(3);
    const errors = document.findings.filter(({ severity }) => severity === 'error').map(({ code }) => code);
    if (losesOrder0(release, page)) {
      expect(errors).toEqual(expect.arrayContaining(['preserved-outside-ram', 'root-fdt-not-preserved']));
      return;
    }
    expect(errors).toEqual([]);
    expect(document.preserved.walkOrder).toEqual(expect.arrayContaining([...folios]));
    const silent = { ...image, pageSizeBytes: undefined, fdt: { phys: handoff.fdt.phys } };
    expect(inspectImage(silent, { contents: false }).document.pageSize).toBe(page.sizeBytes);
  });
});

test('the two depths of trees of 16K pages under kho-v3 are told apart', () => {
  for (const [name, depth] of [
    ['7.1-rc5', 4],
    ['7.1', 5],
  ] as const) {
    const release = RELEASES.find((candidate) => candidate.name === name);
    if (release === undefined) throw new Error('no such release');
    const { memory, handoff } = handOver(release, PAGE_16K);
    const { document } = inspectImage(handoverInMemory(memory, 'arm64', handoff));
    expect(document.memoryMap).toMatchObject({ kind: 'radix-tree', depth });
    expect(document.release.candidates).toEqual([name]);
  }
});
