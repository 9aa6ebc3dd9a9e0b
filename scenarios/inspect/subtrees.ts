import type { ContractBase, FdtSpec, PropertySpec } from '../../kernel/abi/contract.ts';
import { type Bytes, hexAddr } from './bounded-reader.ts';
import type { DecodeContext } from './context.ts';
import { type FdtView, type FdtViewNode, propOf, stringOf, viewFdt } from './fdt-view.ts';
import { fetchMetadata } from './fetch.ts';
import { fitText } from './vmalloc.ts';

/** A child of the root FDT whose data can be looked at. */
export interface Subtree {
  readonly name: string;
  readonly phys: number;
  /** undefined where the ABI does not tell. */
  readonly sizeBytes: number | undefined;
  /** The preserved block it lies in, its tail included; only as much as is RAM. Undefined when there is none. */
  readonly blob: Bytes | undefined;
}

/** Reads the FDT that a subtree is. */
export function subtreeFdt(ctx: DecodeContext, subtree: Subtree): FdtView | undefined {
  return subtree.blob === undefined ? undefined : viewFdt(subtree.blob.raw, subtree.name, ctx.findings);
}

/**
 * Claims a subtree's memory and copies it. What is preserved for it is at least a page; test_kho's FDT folio can be more.
 */
export function claimSubtree(
  ctx: DecodeContext,
  name: string,
  phys: number,
  sizeBytes: number | undefined,
): Bytes | undefined {
  const { findings, page, reader, preserved } = ctx;
  if (phys === 0 || !reader.inRam(phys, Math.max(1, Math.min(sizeBytes ?? 1, page.sizeBytes)))) {
    findings.add('subtree-outside-ram', name, `is at ${hexAddr(phys)}, which is not RAM`);
    return undefined;
  }
  if (phys % page.sizeBytes !== 0) findings.add('subtree-alignment', name, `is at ${hexAddr(phys)}, not at a page`);
  const source = { kind: 'subtree', path: name } as const;
  const block = ctx.owners.claimStarting(phys, { source });
  const ownBytes = block === undefined ? page.sizeBytes : preserved.sizeOf(block.order);
  if (block === undefined) {
    const claim = ctx.owners.claimRange(phys, sizeBytes ?? page.sizeBytes, { source });
    findings.add('subtree-not-preserved', hexAddr(phys), `${name} ${fitText(claim, 0)}`);
  } else if (sizeBytes !== undefined && sizeBytes > ownBytes) {
    findings.add(
      'subtree-not-preserved',
      name,
      `its ${hexAddr(sizeBytes)} bytes reach beyond the ${ownBytes} that are preserved`,
    );
  }
  let sized = Math.min(ownBytes, MAX_BLOB_BYTES);
  while (sized > page.sizeBytes && !reader.inRam(phys, sized)) sized /= 2;
  if (!reader.inRam(phys, sized)) sized = 1;
  return fetchMetadata(reader, findings, phys, sized, name, 'it');
}

/** More than any client's own blob: test_kho's FDT folio for a million folios is 8 MiB. */
const MAX_BLOB_BYTES = 64 << 20;

/** Reports what is in a node that no contract puts there, and what is missing or has the wrong size. */
export function checkProperties(
  ctx: DecodeContext,
  node: FdtViewNode,
  specs: readonly PropertySpec[],
  where: string,
): void {
  for (const { name } of node.properties) {
    if (!specs.some((spec) => spec.name === name)) {
      ctx.findings.add('fdt-unknown-property', where, `property "${name}"`);
    }
  }
}

/** The properties of a node of a contract's FDT. */
export function propertySpecs(
  contract: ContractBase & { readonly fdt?: FdtSpec },
  role: string,
): readonly PropertySpec[] {
  return contract.fdt?.nodes.find((node) => node.role === role)?.properties ?? [];
}

/** The name of a property of a contract, by role and key; empty (a name no property has) where there is none. */
export function propertyName(contract: ContractBase, role: string, key: string): string {
  return propertySpecs(contract, role).find((spec) => spec.key === key)?.name ?? '';
}

/** A u64 property; undefined when it is absent or has another size. */
export function u64Prop(node: FdtViewNode, name: string): number | undefined {
  const value = propOf(node, name);
  return value?.length === 8 ? value.u64(0) : undefined;
}

/** A u32 property; undefined when it is absent or has another size. */
export function u32Prop(node: FdtViewNode, name: string): number | undefined {
  const value = propOf(node, name);
  return value?.length === 4 ? value.u32(0) : undefined;
}

/** Whether a node's compatible is this string, as a list of one. */
export function isCompatible(node: FdtViewNode, name: string, wanted: string | number | undefined): boolean {
  const value = propOf(node, name);
  if (value === undefined) return false;
  const { text, terminated } = stringOf(value);
  return terminated && text === wanted;
}
