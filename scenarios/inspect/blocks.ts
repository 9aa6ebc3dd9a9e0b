import { hexAddr } from './bounded-reader.ts';
import { type DecodeContext, firstTime } from './context.ts';
import { fetchMetadata } from './fetch.ts';
import type { OwnerKind } from './ownership.ts';
import { StructView } from './struct-view.ts';
import { fitText } from './vmalloc.ts';

/** An entry of a block chain and where it lies. */
export interface BlockEntry {
  readonly view: StructView;
  readonly phys: number;
}

/** What a chain of serialization blocks holds. */
export interface BlockChain {
  readonly entries: readonly BlockEntry[];
  /** False when a kernel would refuse the chain. */
  readonly ok: boolean;
}

/**
 * Reads a chain of serialization blocks. A block that was read before, by this chain or another, ends it: chains are
 * trees of nothing, each block belongs to one.
 * @param structName of the entries.
 * @param what for findings: `sessions`, `files of session "x"`.
 */
export function readBlockChain(
  ctx: DecodeContext,
  head: number,
  structName: string,
  what: string,
  kind: OwnerKind,
  path: string,
): BlockChain {
  const { reader, findings, abi } = ctx;
  const header = abi.struct('kho_block_header_ser');
  const entry = abi.struct(structName);
  const blockBytes = abi.constant('block', 'KHO_BLOCK_SIZE');
  const maxBlocks = abi.constant('block', 'KHO_MAX_BLOCKS');
  const capacity = Math.floor((blockBytes - header.sizeBytes) / entry.sizeBytes);
  const source = { kind, path };
  const entries: BlockEntry[] = [];
  const mine = new Set<number>();
  let ok = true;
  let phys = head;
  for (let n = 0; phys !== 0; n++) {
    const where = `${what}, block ${n}`;
    if (mine.has(phys) || n >= maxBlocks) {
      findings.add(
        'block-cycle',
        where,
        mine.has(phys) ? `comes back to ${hexAddr(phys)}` : `more than ${maxBlocks} blocks`,
      );
      return { entries, ok: false };
    }
    mine.add(phys);
    if (phys % ctx.page.sizeBytes !== 0 || !reader.inRam(phys, blockBytes)) {
      findings.add('block-pointer', where, `is at ${hexAddr(phys)}, which is not a page of RAM`);
      return { entries, ok: false };
    }
    if (!firstTime(ctx, phys, `block of ${what}`)) {
      findings.add('block-cycle', where, `${hexAddr(phys)} is already a ${ctx.seen.get(phys)}`);
      return { entries, ok: false };
    }
    const claim = ctx.owners.claimBlock(phys, 0, { source, index: n });
    if (claim.fit !== 'exact') {
      findings.add('block-not-preserved', hexAddr(phys), `${where} ${fitText(claim, 0)}`);
    }
    const bytes = fetchMetadata(reader, findings, phys, blockBytes, where, 'a block');
    if (bytes === undefined) return { entries, ok: false };
    const head = new StructView(bytes, header);
    const count = head.num('count');
    if (count === 0 || count > capacity) {
      findings.add('block-count', hexAddr(phys), `${where} holds ${head.hex('count')} entries, of 1 to ${capacity}`);
      ok = false;
    }
    for (let i = 0; i < Math.min(count, capacity); i++) {
      const base = header.sizeBytes + i * entry.sizeBytes;
      entries.push({ view: new StructView(bytes, entry, base), phys: phys + base });
    }
    phys = head.num('next');
  }
  return { entries, ok };
}
