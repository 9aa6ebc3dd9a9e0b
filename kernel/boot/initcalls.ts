import { KernelPanic } from '../failure.ts';
import type { Boot } from './boot-state.ts';
import { releaseDeferredMemory, releaseScratchAsCma } from './memory-init.ts';

/** early_initcall: LUO reads what its predecessor left, whenever there is a handover. */
export function early(boot: Boot): void {
  for (const client of boot.clients) client.early?.();
  releaseDeferredMemory(boot);
}

/** kho_init, with what hangs on it: the outgoing side comes up, and on a cold boot scratch becomes CMA. */
export function fs(boot: Boot): void {
  const { kho } = boot;
  if (!kho.enabled) return;
  if (kho.init() === 0) for (const client of boot.clients) client.khoInit?.();
  if (!kho.enabled && kho.isKhoBoot) {
    // kho_init's error path frees scratch, whoever reserved it: after a handover it is free memory, and the kernel's own.
    boot.ctx.log.print('emerg', 'BUG: Bad page state in process swapper/0');
    throw new KernelPanic('kho_init failed after a handover, and frees scratch a second time');
  }
  if (!kho.isKhoBoot) releaseScratchAsCma(boot);
}

/** device_initcall: clients that restore or save without user space. */
export function device(boot: Boot): void {
  for (const client of boot.clients) client.device?.();
}

export function late(boot: Boot): void {
  for (const client of boot.clients) client.late?.();
}
