import type { AppliedCorruption } from '../run/corruption.ts';

/*
 * Which field a corruption hit, and what may follow of it. Where nothing may, the run has to be as good as without.
 */

/** What a change to a field may lead to. */
export type Consequence =
  /** The new kernel says no. */
  | 'refusal'
  /** It falls over. */
  | 'crash'
  /** Memory is lost, or kept although nobody wants it. */
  | 'pages'
  /** A client does not find its data, or finds other data. */
  | 'client';

/** A field of what one kernel tells the next. */
export interface CorruptedField {
  /** As a report names it. */
  readonly field: string;
  readonly follows: ReadonlySet<Consequence>;
  /** The client whose data it is, when it is one client's alone. */
  readonly client?: string;
}

const ALL: ReadonlySet<Consequence> = new Set(['refusal', 'crash', 'pages', 'client']);
const NOTHING: ReadonlySet<Consequence> = new Set();
/** The walk checks nothing: it follows, reserves, or oopses. */
const WALKED: ReadonlySet<Consequence> = new Set(['crash', 'pages', 'client']);

const FDT_HEADER = [
  'magic',
  'totalsize',
  'off_dt_struct',
  'off_dt_strings',
  'off_mem_rsvmap',
  'version',
  'last_comp_version',
  'boot_cpuid_phys',
  'size_dt_strings',
  'size_dt_struct',
];

const FDT_PROP = 3;

function cell(bytes: Uint8Array, offset: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return offset + 4 <= bytes.length ? view.getUint32(offset, false) : 0;
}

function textAt(bytes: Uint8Array, offset: number): string {
  const end = bytes.indexOf(0, offset);
  return new TextDecoder().decode(bytes.subarray(offset, end < 0 ? bytes.length : end));
}

/** Names what lies at an offset of the structure block: a property's value, or what holds the tree together. */
function structField(fdt: Uint8Array, offset: number): string {
  const start = cell(fdt, 8);
  const strings = cell(fdt, 12);
  const end = start + cell(fdt, 36);
  for (let at = start; at < end; ) {
    const token = cell(fdt, at);
    let next = at + 4;
    if (token === 1) next = at + 4 + ((textAt(fdt, at + 4).length + 4) & ~3);
    else if (token === FDT_PROP) {
      const value = at + 12;
      next = value + ((cell(fdt, at + 4) + 3) & ~3);
      if (offset >= value && offset < next) return `value of ${textAt(fdt, strings + cell(fdt, at + 8))}`;
    }
    if (offset < next) return token === FDT_PROP ? 'head of a property' : 'structure';
    at = next;
  }
  return 'structure';
}

function fdtField(fdt: Uint8Array, offset: number): CorruptedField {
  const name = (text: string) => `root FDT: ${text}`;
  if (offset < 40) {
    const field = FDT_HEADER[offset >> 2] ?? '';
    // boot_cpuid_phys, and off_mem_rsvmap as long as it stays in bounds, are nobody's to read.
    return { field: name(field), follows: field === 'boot_cpuid_phys' ? NOTHING : ALL };
  }
  const struct = cell(fdt, 8);
  if (offset < struct) return { field: name('reserve map'), follows: NOTHING };
  if (offset >= cell(fdt, 4)) return { field: name('behind its end'), follows: NOTHING };
  if (offset >= cell(fdt, 12)) return { field: name('strings'), follows: ALL };
  return { field: name(structField(fdt, offset)), follows: ALL };
}

function chunkField(offset: number): string {
  if (offset < 8) return 'next';
  if (offset < 12) return 'order';
  if (offset < 16) return 'num_elms';
  return (offset - 16) % 16 < 8 ? 'phys_start' : 'bitmap';
}

/** What a lost write left as it was. */
function staleField({ what, name }: AppliedCorruption['spec']): CorruptedField {
  const field = `stale: ${what}`;
  switch (what) {
    case 'subtree':
      return { field, follows: new Set<Consequence>(['client']), ...(name === undefined ? {} : { client: name }) };
    case 'session-files':
    case 'scratch-array':
    case 'fdt':
      return { field, follows: ALL };
    default:
      return { field, follows: WALKED };
  }
}

/** The field that a corruption changed. */
export function corruptedField({ spec, target, offset }: AppliedCorruption, wasTree: boolean): CorruptedField {
  const { what } = spec;
  if (spec.stale === true) return staleField(spec);
  if (target === undefined) return { field: `boot value: ${what.replace('handoff-', '')}`, follows: ALL };
  switch (what) {
    case 'fdt':
      return fdtField(target.before, offset);
    case 'scratch-array': {
      const inside = offset < target.before.length;
      const field = `scratch array: ${inside ? (offset % 16 < 8 ? 'addr' : 'size') : 'behind its end'}`;
      // Whose memory lies behind the array is for the loader to say: its copy has a page of its own.
      return { field, follows: inside ? ALL : NOTHING };
    }
    case 'subtree':
      return {
        field: `blob of a client`,
        follows: offset < target.before.length ? new Set<Consequence>(['client']) : WALKED,
        ...(spec.name === undefined ? {} : { client: spec.name }),
      };
    case 'bitmap':
      return { field: 'bit of a bitmap', follows: WALKED };
    case 'tree-leaf':
      if (wasTree) return { field: 'bit of a leaf', follows: WALKED };
      return { field: `chunk: ${chunkField(offset)}`, follows: WALKED };
    default:
      if (wasTree) return { field: 'pointer in a table', follows: WALKED };
      return { field: `chunk: ${chunkField(offset)}`, follows: WALKED };
  }
}
