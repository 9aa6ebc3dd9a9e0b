import { defineContract, type RootContract } from './contract.ts';
import { KHO_V3 } from './kho-v3.ts';

/** The root FDT of 7.2 and 7.3: that of kho-v3, whose string moved because kho_block came under it. */
export const KHO_V4: RootContract = defineContract({ ...KHO_V3, name: 'kho-v4', compatible: 'kho-v4' });
