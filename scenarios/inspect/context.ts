import type { CompiledAbi } from '../../kernel/abi/contract.ts';
import type { Release } from '../../kernel/release.ts';
import type { Arch } from '../../machine/machine.ts';
import type { PageSize } from '../../machine/page-size.ts';
import type { BoundedReader } from './bounded-reader.ts';
import type { ContentHasher } from './content.ts';
import type { Findings } from './findings.ts';
import type { OwnershipMap } from './ownership.ts';
import type { PreservedSet } from './preserved-set.ts';

/** What every decoder of a client's data is given. */
export interface DecodeContext {
  readonly reader: BoundedReader;
  readonly page: PageSize;
  readonly arch: Arch | undefined;
  readonly findings: Findings;
  readonly preserved: PreservedSet;
  readonly owners: OwnershipMap;
  readonly hasher: ContentHasher;
  /** Releases whose ABI fits so far, oldest first; at least one. Clients narrow it before they decode. */
  candidates: readonly Release[];
  /** The newest candidate's contracts: what is decoded with. */
  release: Release;
  abi: CompiledAbi;
  /** Pages of client metadata that were decoded already, and as what: a second way to one is not followed. */
  readonly seen: Map<number, string>;
}

/** Remembers a page of client metadata. False (and nothing is changed) when it was decoded before. */
export function firstTime(ctx: DecodeContext, phys: number, what: string): boolean {
  if (ctx.seen.has(phys)) return false;
  ctx.seen.set(phys, what);
  return true;
}
