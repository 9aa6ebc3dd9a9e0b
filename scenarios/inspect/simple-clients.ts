import { hexAddr, hexBytes } from './bounded-reader.ts';
import type { DecodeContext } from './context.ts';
import { childNamed, propOf } from './fdt-view.ts';
import { StructView } from './struct-view.ts';
import {
  checkProperties,
  isCompatible,
  propertyName,
  propertySpecs,
  type Subtree,
  subtreeFdt,
  u32Prop,
  u64Prop,
} from './subtrees.ts';
import { testChecksums } from './test-checksum.ts';
import { fitText, readVmalloc, vmallocBytes } from './vmalloc.ts';

/** A reserve_mem region. */
export interface ReserveMemDocument {
  readonly name: string;
  readonly start: string;
  readonly size: string;
  readonly sha256: string | null;
}

/** Decodes the memblock subtree: named regions that keep their memory. */
export function readReserveMem(ctx: DecodeContext, subtree: Subtree): ReserveMemDocument[] {
  const { findings, page, reader, release } = ctx;
  const root = subtreeFdt(ctx, subtree)?.root;
  if (root === undefined) return [];
  const name = propertyName(release.memblock, 'root', 'compatible');
  if (!isCompatible(root, name, release.memblock.compatible)) {
    findings.add('memblock-compatible', subtree.name, `compatible is not "${release.memblock.compatible}"`);
  }
  checkProperties(ctx, root, propertySpecs(release.memblock, 'root'), subtree.name);
  const contract = release.reserveMem;
  const regions: ReserveMemDocument[] = [];
  for (const node of root.children) {
    const where = `reserve_mem "${node.name}"`;
    if (!isCompatible(node, propertyName(contract, 'region', 'compatible'), contract.compatible)) {
      findings.add('memblock-compatible', where, `compatible is not "${contract.compatible}"`);
    }
    checkProperties(ctx, node, propertySpecs(contract, 'region'), where);
    const start = u64Prop(node, propertyName(contract, 'region', 'start'));
    const size = u64Prop(node, propertyName(contract, 'region', 'size'));
    if (start === undefined || size === undefined) {
      findings.add('reserve-mem-property', where, 'start or size is not a u64');
      continue;
    }
    let sha256: string | undefined;
    const aligned = start % page.sizeBytes === 0 && size % page.sizeBytes === 0;
    if (size === 0 || !reader.inRam(start, size)) {
      findings.add('reserve-mem-range', where, `${hexAddr(start)}, ${hexAddr(size)} bytes, is not RAM`);
    } else {
      if (!aligned) {
        findings.add(
          'reserve-mem-range',
          where,
          `${hexAddr(start)}, ${hexAddr(size)} bytes, is not whole pages`,
          'warning',
        );
      }
      const source = { kind: 'reserve-mem', path: `memblock / "${node.name}"` } as const;
      const claim = ctx.owners.claimRange(start, size, { source });
      if (claim.fit === 'absent') {
        findings.add(
          'reserve-mem-not-preserved',
          where,
          `${hexAddr(claim.missingBytes)} bytes of it are not preserved`,
        );
      }
      sha256 = ctx.hasher.sha256([{ phys: start, sizeBytes: size }], size);
      if (sha256 === undefined && ctx.hasher.enabled)
        findings.add('memfd-hash', where, `content of ${hexAddr(size)} bytes`);
    }
    regions.push({ name: node.name, start: hexAddr(start), size: hexAddr(size), sha256: sha256 ?? null });
  }
  return regions;
}

/** kexec-metadata. */
export interface MetadataDocument {
  readonly version: number;
  readonly previousRelease: string;
  readonly kexecCount: number;
}

/** Decodes kexec-metadata; undefined when the kernel ignores it. */
export function readMetadata(ctx: DecodeContext, subtree: Subtree): MetadataDocument | undefined {
  const { findings, abi, release } = ctx;
  const contract = release.metadata;
  if (contract === undefined || subtree.blob === undefined) return undefined;
  const struct = abi.struct(contract.subtree.struct ?? 'kho_kexec_metadata');
  const where = subtree.name;
  if (subtree.sizeBytes !== undefined && subtree.sizeBytes < struct.sizeBytes) {
    findings.add('metadata-size', where, `${subtree.sizeBytes} bytes, of ${struct.sizeBytes}`);
    return undefined;
  }
  if (subtree.blob.length < struct.sizeBytes) return undefined;
  const view = new StructView(subtree.blob, struct);
  const version = view.num('version');
  if (version !== contract.compatible) {
    findings.add('metadata-version', where, `version ${version}; known is ${contract.compatible}`);
    return undefined;
  }
  const previous = view.text('previous_release');
  const kexecCount = view.num('kexec_count');
  if (!previous.terminated) findings.add('metadata-release', where, 'previous_release does not end');
  else if (previous.text === '') findings.add('metadata-release', where, 'previous_release is empty');
  if (kexecCount === 0) findings.add('metadata-count', where, 'kexec_count is 0');
  return { version, previousRelease: previous.text, kexecCount };
}

/** test_kho. */
export interface KhoTestDocument {
  readonly folios: readonly (readonly [string, number])[];
  readonly csumHex: string;
}

/** Decodes test_kho's subtree and verifies its checksum. */
export function readKhoTest(ctx: DecodeContext, subtree: Subtree): KhoTestDocument | undefined {
  const { findings, abi, page, release, reader } = ctx;
  const contract = release.test;
  const root = subtreeFdt(ctx, subtree)?.root;
  if (contract === undefined || root === undefined) return undefined;
  const where = subtree.name;
  if (!isCompatible(root, propertyName(contract, 'root', 'compatible'), contract.compatible)) {
    findings.add('test-format', where, `compatible is not "${contract.compatible}"`);
  }
  checkProperties(ctx, root, propertySpecs(contract, 'root'), where);
  const magic = u32Prop(root, propertyName(contract, 'root', 'magic'));
  const wanted = abi.constant('test', 'KHO_TEST_MAGIC');
  if (magic !== wanted) {
    findings.add(
      'test-format',
      where,
      magic === undefined ? 'magic is not a u32' : `magic is ${hexAddr(magic)}, not ${hexAddr(wanted)}`,
    );
  }
  const dataNode = contract.fdt.nodes.find((node) => node.role === 'data')?.name ?? 'data';
  const data = childNamed(root, dataNode);
  if (data === undefined) {
    findings.add('test-format', where, `there is no node "${dataNode}"`);
    return undefined;
  }
  checkProperties(ctx, data, propertySpecs(contract, 'data'), `${where}/${dataNode}`);
  const nrFolios = u32Prop(data, propertyName(contract, 'data', 'nrFolios'));
  const csum = propOf(data, propertyName(contract, 'data', 'csum'));
  const infoSpec = propertySpecs(contract, 'data').find((spec) => spec.key === 'foliosInfo');
  const info = propOf(data, infoSpec?.name ?? '');
  if (nrFolios === undefined || csum?.length !== 4 || info === undefined) {
    findings.add('test-format', where, 'nr_folios, folios_info or csum is missing or has the wrong size');
    return undefined;
  }
  const csumHex = hexBytes(csum.raw);
  let list = info;
  if (infoSpec?.type === 'struct') {
    const struct = abi.struct(infoSpec.struct ?? 'kho_vmalloc');
    if (info.length !== struct.sizeBytes) {
      findings.add('test-format', where, `folios_info has ${info.length} bytes, not ${struct.sizeBytes}`);
      return { folios: [], csumHex };
    }
    const area = readVmalloc(ctx, new StructView(info, struct), where);
    if (area.unread === true) return { folios: [], csumHex };
    const bytes = vmallocBytes(ctx, area, nrFolios * 8);
    if (bytes === undefined) {
      findings.add('test-format', where, `nr_folios is ${nrFolios}, but its list is not that long`);
      return { folios: [], csumHex };
    }
    if (Math.ceil((nrFolios * 8) / page.sizeBytes) !== area.totalPages) {
      findings.add(
        'test-format',
        where,
        `${nrFolios} folios do not need a list of ${area.totalPages} pages`,
        'warning',
      );
    }
    list = bytes;
  } else if (info.length !== nrFolios * 8) {
    findings.add('test-format', where, `folios_info has ${info.length} bytes for ${nrFolios} folios`);
  }
  const folios: [string, number][] = [];
  const content: { phys: number; sizeBytes: number }[] = [];
  const source = { kind: 'test-folio', path: where } as const;
  let total = 0;
  for (let i = 0; i < Math.min(nrFolios, Math.floor(list.length / 8)); i++) {
    const value = list.u64(i * 8);
    const order = list.u32(i * 8) % page.sizeBytes;
    const phys = value - order;
    folios.push([hexAddr(phys), order]);
    const sizeBytes = page.sizeBytes * 2 ** order;
    if (order > 63 || !reader.inRam(phys, sizeBytes)) {
      findings.add('test-folio', where, `folio ${i}, ${hexAddr(phys)} of order ${order}, is not RAM`);
      continue;
    }
    const claim = ctx.owners.claimBlock(phys, order, { source, index: i });
    if (claim.fit !== 'exact')
      findings.add('test-folio', hexAddr(phys), `folio ${i} of ${where} ${fitText(claim, order)}`);
    content.push({ phys, sizeBytes });
    total += sizeBytes;
  }
  verifyChecksum(ctx, content, total, csum.u32(0), where, content.length === nrFolios);
  return { folios, csumHex };
}

function verifyChecksum(
  ctx: DecodeContext,
  content: readonly { phys: number; sizeBytes: number }[],
  totalBytes: number,
  recorded: number,
  where: string,
  complete: boolean,
): void {
  const { findings, hasher } = ctx;
  if (!complete || totalBytes > hasher.budgetBytes) return;
  hasher.budgetBytes -= totalBytes;
  const sums = testChecksums(ctx.arch, content, hasher);
  if (!sums.includes(recorded)) {
    const computed = sums.map((sum) => hexAddr(sum)).join(' or ');
    findings.add('test-checksum', where, `recorded is ${hexAddr(recorded)}, the folios give ${computed}`);
  }
}
