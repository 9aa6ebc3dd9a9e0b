import { FDT_MAGIC } from '../../kernel/fdt/layout.ts';
import { RELEASES, type Release, UNRELEASED } from '../../kernel/release.ts';
import type { Bytes } from './bounded-reader.ts';
import { childNamed, type FdtView, type FdtViewNode, propOf, stringOf, viewFdt } from './fdt-view.ts';
import { Findings } from './findings.ts';
import { propertyName } from './subtrees.ts';

/** Everything that khosim knows a handover could come from, oldest first. */
export const ALL_RELEASES: readonly Release[] = [...RELEASES, ...UNRELEASED];

/** The releases whose ABI fits, and why others were ruled out. */
export class Candidates {
  releases: readonly Release[] = ALL_RELEASES;
  readonly evidence: string[] = [];

  /**
   * Rules out the releases that do not satisfy `fits`. Evidence that would leave none is ignored: then the bytes are
   * wrong, and the decoders say where.
   * @returns whether any release satisfies it.
   */
  narrow(reason: string, fits: (release: Release) => boolean): boolean {
    const kept = this.releases.filter(fits);
    if (kept.length === 0) return false;
    if (kept.length < this.releases.length) {
      const gone = this.releases.filter((release) => !kept.includes(release)).map((release) => release.name);
      this.evidence.push(`${reason} (not ${gone.join(', ')})`);
      this.releases = kept;
    }
    return true;
  }

  /** What is decoded with: the newest candidate that was released, else the newest. */
  get newest(): Release {
    const released = this.releases.filter((release) => release.status === 'released');
    const list = released.length > 0 ? released : this.releases;
    return list.at(-1) ?? (ALL_RELEASES[0] as Release);
  }
}

const ROOT = 'root';
const SUBTREE = 'subtree';

/** Rules out releases by the root FDT alone: string, property names, and how the blob was written. */
export function narrowByRoot(candidates: Candidates, view: FdtView, root: FdtViewNode): void {
  const compatible = propOf(root, 'compatible');
  if (compatible !== undefined) {
    const { text } = stringOf(compatible);
    candidates.narrow(`compatible is "${text}"`, (release) => release.root.compatible === text);
  }
  candidates.narrow(
    'name of the map property',
    (release) => propOf(root, propertyName(release.root, ROOT, 'map')) !== undefined,
  );
  if (root.children.length === 0) return;
  candidates.narrow('properties of the subtrees', (release) => {
    const names = new Set(
      ['data', 'size'].map((key) => propertyName(release.root, SUBTREE, key)).filter((name) => name !== ''),
    );
    return root.children.every((child) => [...names].every((name) => propOf(child, name) !== undefined));
  });
  // Written in one go the reserve map lies at 48; libfdt's editing moves it to 40.
  const writing = view.offMemRsvmap === 40 ? 'edited' : view.offMemRsvmap === 48 ? 'sequential' : undefined;
  if (writing !== undefined) {
    candidates.narrow(
      `the root FDT was ${writing === 'edited' ? 'edited node by node' : 'written in one go'}`,
      (release) => {
        return release.root.fdt.writing === writing;
      },
    );
  }
}

/** Rules out releases by which clients there are and the form of their data. */
export function narrowByClients(candidates: Candidates, subtrees: ReadonlyMap<string, Bytes | undefined>): void {
  for (const name of subtrees.keys()) {
    candidates.narrow(`there is a subtree "${name}"`, (release) =>
      [release.luo, release.metadata, release.memblock, release.test].some((client) => client?.subtree.name === name),
    );
  }
  for (const [name, blob] of subtrees) {
    if (blob === undefined) continue;
    if (ALL_RELEASES.some((release) => release.luo?.subtree.name === name)) narrowByLuo(candidates, blob);
    if (ALL_RELEASES.some((release) => release.test?.subtree.name === name)) narrowByTest(candidates, blob);
  }
}

function isFdt(blob: Bytes): boolean {
  return blob.length >= 4 && [24, 16, 8, 0].every((shift, i) => blob.u8(i) === ((FDT_MAGIC >>> shift) & 0xff));
}

function quietly(blob: Bytes): FdtViewNode | undefined {
  return viewFdt(blob.raw, '', new Findings())?.root;
}

function narrowByLuo(candidates: Candidates, blob: Bytes): void {
  const payload = isFdt(blob) ? 'fdt' : 'raw';
  candidates.narrow(
    payload === 'fdt' ? 'LUO is an FDT' : 'LUO is a raw struct',
    (release) => release.luo?.subtree.payload === payload,
  );
  const root = payload === 'fdt' ? quietly(blob) : undefined;
  if (root === undefined) return;
  const nodeName = (release: Release, role: string) => release.luo?.fdt?.nodes.find((node) => node.role === role)?.name;
  const flbNames = ALL_RELEASES.map((release) => nodeName(release, 'flb')).filter((name) => name !== undefined);
  const hasFlb = flbNames.some((name) => childNamed(root, name) !== undefined);
  candidates.narrow(
    hasFlb ? 'LUO has an FLB node' : 'LUO has no FLB node',
    (release) => (nodeName(release, 'flb') !== undefined) === hasFlb,
  );
}

function narrowByTest(candidates: Candidates, blob: Bytes): void {
  const root = quietly(blob);
  if (root === undefined) return;
  candidates.narrow("form of test_kho's folio list", (release) => {
    const contract = release.test;
    const name = contract?.fdt.nodes.find((node) => node.role === 'data')?.name;
    const data = name === undefined ? undefined : childNamed(root, name);
    if (contract === undefined || data === undefined) return false;
    const info = propOf(data, propertyName(contract, 'data', 'foliosInfo'));
    const nr = propOf(data, propertyName(contract, 'data', 'nrFolios'));
    if (info === undefined || nr?.length !== 4) return false;
    const spec = contract.fdt.nodes
      .flatMap((node) => node.properties)
      .find((property) => property.key === 'foliosInfo');
    // A list of two folios and a descriptor have the same length: the descriptor's upper words are never page numbers.
    return spec?.type === 'struct'
      ? info.length === 16 && (nr.u32(0) !== 2 || info.u32(12) <= 0xffff)
      : info.length === nr.u32(0) * 8;
  });
}
