import type { LuoContract } from '../abi/contract.ts';
import type { KernelContext } from '../context.ts';

/** What LUO asks of its kernel. */
export type LuoKernel = Pick<
  KernelContext,
  | 'release'
  | 'abi'
  | 'page'
  | 'config'
  | 'cmdline'
  | 'memory'
  | 'pages'
  | 'allocator'
  | 'log'
  | 'faults'
  | 'control'
  | 'kho'
>;

/** What LUO's parts work with. */
export interface LuoContext extends LuoKernel {
  readonly contract: LuoContract;
}
