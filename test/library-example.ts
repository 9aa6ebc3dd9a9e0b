import { isErrno, Kernel, knownRelease, Machine, type Order, PAGE_16K, physAddr, physOf } from 'khosim';

const bank = { base: physAddr(0x4000_0000), sizeBytes: 4 * 2 ** 30, nid: 0 };
const machine = Machine.powerOn({ arch: 'arm64', page: PAGE_16K, banks: [bank], seed: 1 });
const cmdline = 'kho=on kho_scratch=64M,64M,64M';
const old = Kernel.boot(machine, { release: knownRelease('7.2'), cmdline });

const order = 2 as Order;
const pfn = old.ctx.allocator.allocPages(order, { compound: true });
if (pfn === undefined) throw new Error('no four pages are free');
const phys = physOf(machine.page, pfn);
machine.memory.writeU32(phys, 0xcafe);
old.kho.preserveFolio({ pfn, order });

const jump = old.kexec({ release: knownRelease('7.3'), cmdline }); // from here on, old is dead: only RAM is left
if (!jump.ok || isErrno(jump.value)) throw new Error('7.2 did not jump');
const folio = jump.value.kho.restoreFolio(phys);
console.log(jump.value.isKhoBoot, folio?.order, machine.memory.readU32(phys).toString(16));
