import { Bytes, hexAddr } from './bounded-reader.ts';
import { type DecodeContext, firstTime } from './context.ts';
import { fetchMetadata } from './fetch.ts';
import type { StructView } from './struct-view.ts';

/** A preserved vmalloc area: where its pages are, in order. */
export interface VmallocReading {
  readonly totalPages: number;
  /** Address of each entry, 2^order pages each. */
  readonly entries: readonly number[];
  readonly order: number;
  /** A chunk could not be read: what is missing was reported, and nothing more can be said. */
  readonly unread?: boolean;
}

/**
 * Follows a vmalloc descriptor through its chunks, claims every page, and reports what would make restoring it fail.
 * Bounded by the number of entries that total_pages allows, and by the number of pages in RAM.
 * @param path who it belongs to, for ownership and findings.
 */
export function readVmalloc(ctx: DecodeContext, descriptor: StructView, path: string): VmallocReading {
  const { findings, page, abi, reader } = ctx;
  const where = `vmalloc of ${path}`;
  const totalPages = descriptor.num('total_pages');
  const order = descriptor.num('order');
  const flags = descriptor.num('flags');
  const known = abi.constant('vmalloc', 'KHO_VMALLOC_ALLOC') | abi.constant('vmalloc', 'KHO_VMALLOC_HUGE_VMAP');
  if ((flags & ~known) !== 0) findings.add('vmalloc-flags', where, `flags 0x${flags.toString(16)}`);
  const entries: number[] = [];
  if (page.sizeBytes * 2 ** order > reader.ramBytes) {
    findings.add('vmalloc-order', where, `order ${order} is more than all RAM`);
    return { totalPages, entries, order };
  }
  const first = descriptor.num('first');
  if (first === 0) {
    if (totalPages > 0) findings.add('vmalloc-first', where, `${totalPages} pages, but no chunk`);
    return { totalPages, entries, order };
  }
  const chunkStruct = abi.struct('kho_vmalloc_chunk');
  const nextAt = chunkStruct.offsetOf('hdr.next');
  const slotsAt = chunkStruct.offsetOf('phys');
  const slots = chunkStruct.countOf('phys');
  const wanted = Math.ceil(totalPages / 2 ** order);
  const chunkSource = { kind: 'vmalloc-chunk', path } as const;
  const pageSource = { kind: 'vmalloc-page', path } as const;
  let restored = 0;
  let chunk = first;
  for (let n = 0; chunk !== 0; n++) {
    if (chunk % page.sizeBytes !== 0 || !reader.inRam(chunk, page.sizeBytes)) {
      findings.add('vmalloc-chunk', where, `chunk ${n} is at ${hexAddr(chunk)}, which is not a page of RAM`);
      return { totalPages, entries, order };
    }
    if (!firstTime(ctx, chunk, `vmalloc chunk of ${path}`)) {
      findings.add('vmalloc-chunk', where, `chunk ${n} at ${hexAddr(chunk)} is already a ${ctx.seen.get(chunk)}`);
      return { totalPages, entries, order };
    }
    const claim = ctx.owners.claimBlock(chunk, 0, { source: chunkSource, index: n });
    if (claim.fit !== 'exact') {
      findings.add('vmalloc-chunk-not-preserved', hexAddr(chunk), `chunk ${n} of ${path} ${fitText(claim, 0)}`);
    }
    const bytes = fetchMetadata(reader, findings, chunk, page.sizeBytes, where, `chunk ${n}`);
    if (bytes === undefined) return { totalPages, entries, order, unread: true };
    const next = bytes.u64(nextAt);
    let used = 0;
    for (; used < slots; used++) {
      const phys = bytes.u64(slotsAt + used * 8);
      if (phys === 0) break;
      restored++;
      if (restored > wanted) break;
      entries.push(phys);
      const slot = hexAddr(chunk + slotsAt + used * 8);
      const claimed = reader.inRam(phys, page.sizeBytes * 2 ** order)
        ? ctx.owners.claimBlock(phys, order, { source: pageSource, index: entries.length - 1 })
        : undefined;
      if (claimed?.fit !== 'exact') {
        const why = claimed === undefined ? 'is not RAM' : fitText(claimed, order);
        findings.add(
          'vmalloc-page-not-preserved',
          slot,
          `entry ${entries.length - 1} of ${path}, ${hexAddr(phys)}, ${why}`,
        );
      }
    }
    if (restored > wanted) break;
    reportTail(ctx, bytes, slotsAt, used, slots, next, `chunk ${n} of ${path}`);
    chunk = next;
  }
  if (restored !== wanted || totalPages % 2 ** order !== 0) {
    const held = restored > wanted ? `more than ${wanted}` : `${restored}`;
    findings.add('vmalloc-count', where, `${held} entries of ${2 ** order} pages, but ${totalPages} pages in total`);
  }
  return { totalPages, entries, order };
}

function reportTail(
  ctx: DecodeContext,
  bytes: Bytes,
  slotsAt: number,
  used: number,
  slots: number,
  next: number,
  where: string,
): void {
  if (used < slots && next !== 0) {
    ctx.findings.add('vmalloc-chunk-tail', where, `only ${used} of ${slots} slots are used, but another chunk follows`);
  }
  for (let slot = used; slot < slots; slot++) {
    if (bytes.u64(slotsAt + slot * 8) !== 0) {
      ctx.findings.add('vmalloc-chunk-tail', where, `slot ${slot} is used though slot ${used} is 0`);
      return;
    }
  }
}

/** Why a claim does not fit: `is not preserved`, `is preserved as order 3 and not 0`. */
export function fitText(
  claim: { fit: 'exact' } | { fit: 'other'; orders: readonly number[] } | { fit: 'absent'; missingBytes: number },
  order: number,
): string {
  if (claim.fit === 'exact') return 'is preserved';
  if (claim.fit === 'absent') return 'is not preserved';
  return `is preserved as order ${claim.orders.join(', ')} and not as a block of order ${order}`;
}

/** The first bytes of a vmalloc area, joined; undefined when they are not all there. */
export function vmallocBytes(ctx: DecodeContext, area: VmallocReading, sizeBytes: number): Bytes | undefined {
  const entryBytes = ctx.page.sizeBytes * 2 ** area.order;
  if (!(sizeBytes <= area.entries.length * entryBytes) || sizeBytes > ctx.reader.budgetBytes) return undefined;
  const out = new Uint8Array(sizeBytes);
  for (let done = 0, i = 0; done < sizeBytes; done += entryBytes, i++) {
    const part = ctx.reader.bytes(area.entries[i] as number, Math.min(entryBytes, sizeBytes - done));
    if (part === undefined) return undefined;
    out.set(part.raw, done);
  }
  return new Bytes(out);
}
