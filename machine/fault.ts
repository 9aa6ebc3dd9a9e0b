import { hex } from './units.ts';

/** What a faulting access was: a load, a store, or a page frame without a struct page. */
export type FaultAccess = 'read' | 'write' | 'pfn_to_page';

/**
 * The machine could not carry out an access: an address outside RAM, or a frame that has no struct page. It is what a
 * kernel would oops on. Thrown wherever kernel code runs, caught in the one place where the kernel was entered, and
 * turned there into the outcome `oops`. It is never a bug of khosim, nor a message for its user.
 */
export class MachineFault extends Error {
  readonly access: FaultAccess;
  /** `0x`-hex: exact for all 64 bits, which a number could not promise for a wild pointer. */
  readonly address: string;

  constructor(access: FaultAccess, address: number | bigint | string) {
    const text = typeof address === 'string' ? address : hex(address);
    super(access === 'pfn_to_page' ? `no struct page for pfn ${text}` : `${access} of ${text}, which is outside RAM`);
    this.name = 'MachineFault';
    this.access = access;
    this.address = text;
  }
}

/** Something of a machine that was switched off or jumped away from was touched: a bug in khosim, never data. */
export class DeadMachineError extends Error {
  constructor(what: string) {
    super(`${what} belongs to a kernel that is no longer running`);
    this.name = 'DeadMachineError';
  }
}
