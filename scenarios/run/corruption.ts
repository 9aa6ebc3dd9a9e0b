import {
  type BootHandoff,
  type Machine,
  type MemoryVersion,
  type PhysAddr,
  type PhysicalMemory,
  physAddr,
} from '../../machine/index.ts';
import { hexToBytes } from './bytes.ts';
import { ImpossibleStep } from './placement.ts';
import type { CorruptSpec } from './schema.ts';
import { bytesAsOf } from './stale.ts';

/** What the old kernel left, as far as a corruption needs to find its target. */
export interface LeftBehind {
  /** The map property's value: root of the tree, or first chunk. */
  readonly map: number;
  /** Levels of a tree, leaves included; 1 for a chunk list. */
  readonly depth: number;
  /** Where the table of each session's files begins, 0 for a session without. */
  readonly sessionFiles: readonly { readonly name: string; readonly phys: number }[];
  readonly subtrees: readonly { readonly name: string; readonly phys: number; readonly sizeBytes: number }[];
  /** The first bitmap of a chunk list; undefined for a tree. */
  readonly bitmap: Target | undefined;
}

/** A change that is to be made at the next jump. */
export interface PendingCorruption {
  readonly spec: CorruptSpec;
  /** For what is to be stale: RAM as it was at the step. */
  readonly asOf?: { readonly version: MemoryVersion };
}

/** A change that was made, and what was there before. */
export interface AppliedCorruption {
  readonly spec: CorruptSpec;
  /** Where the target lies, and its first bytes (a page at most) before the change; undefined for numbers of the handoff. */
  readonly target: { readonly phys: number; readonly before: Uint8Array } | undefined;
  /** The first byte that was changed, from the start of the target. */
  readonly offset: number;
}

/** A range of RAM that a corruption may change. */
interface Target {
  readonly phys: number;
  readonly sizeBytes: number;
}

/**
 * Changes what the old kernel left, when it is gone and the next has not started. Nothing but the bytes and the numbers
 * of the handoff changes.
 * @returns what was there before.
 * @throws ImpossibleStep when there is nothing of that kind.
 */
export function applyCorruption(
  machine: Machine,
  handoff: BootHandoff | undefined,
  { spec, asOf }: PendingCorruption,
  left: LeftBehind,
): AppliedCorruption {
  if (handoff === undefined) throw new ImpossibleStep('there is no handover to corrupt: the old kernel passed none');
  if (spec.what.startsWith('handoff')) {
    machine.registers = { kind: 'given', handoff: changedHandoff(handoff, spec) };
    return { spec, target: undefined, offset: 0 };
  }
  const { memory } = machine;
  const target = targetOf(memory, handoff, spec, left);
  memory.setWriter(`corruption of ${spec.what}`);
  const before = memory.contains(target.phys as PhysAddr, target.sizeBytes)
    ? memory.readBytes(target.phys as PhysAddr, Math.min(target.sizeBytes, memory.page.sizeBytes))
    : new Uint8Array(0);
  const applied = { phys: target.phys, before };
  if (spec.replace !== undefined) {
    return { spec, target: applied, offset: replaceText(memory, target, spec.replace, spec) };
  }
  const phys = (target.phys + (spec.offset ?? 0)) as PhysAddr;
  if (asOf !== undefined) {
    // Up to 7.0 nobody says how long a blob is.
    const sizeBytes = spec.size ?? (target.sizeBytes || memory.page.sizeBytes) - (spec.offset ?? 0);
    if (sizeBytes <= 0 || !memory.contains(phys, sizeBytes)) throw new ImpossibleStep('no such bytes of it are in RAM');
    memory.writeBytes(phys, bytesAsOf(memory, asOf.version, phys, sizeBytes));
    return { spec, target: applied, offset: spec.offset ?? 0 };
  }
  const fresh = freshBytes(memory, spec, left);
  if (!memory.contains(phys, fresh?.length ?? 1)) throw new ImpossibleStep('the corruption leaves RAM');
  const bytes = fresh ?? Uint8Array.of(memory.readU8(phys) ^ 1);
  memory.writeBytes(phys, bytes);
  return { spec, target: applied, offset: spec.offset ?? 0 };
}

function changedHandoff(handoff: BootHandoff, spec: CorruptSpec): BootHandoff {
  const value = spec.value ?? 0;
  const { fdt, scratch } = handoff;
  switch (spec.what) {
    case 'handoff-fdt':
      return { fdt: { ...fdt, phys: physAddr(value) }, scratch };
    case 'handoff-fdt-len':
      return { fdt: { ...fdt, sizeBytes: value }, scratch };
    case 'handoff-scratch':
      return { fdt, scratch: { ...scratch, phys: physAddr(value) } };
    default:
      return { fdt, scratch: { ...scratch, sizeBytes: value } };
  }
}

function targetOf(memory: PhysicalMemory, handoff: BootHandoff, spec: CorruptSpec, left: LeftBehind): Target {
  const pageBytes = memory.page.sizeBytes;
  switch (spec.what) {
    case 'fdt':
      return handoff.fdt;
    case 'scratch-array':
      return handoff.scratch;
    case 'subtree': {
      const subtree = left.subtrees.find((each) => each.name === spec.name);
      if (subtree === undefined) {
        throw new ImpossibleStep(
          `the handover has no subtree '${spec.name}'`,
          `it has ${left.subtrees.map((each) => each.name).join(', ')}`,
        );
      }
      return subtree;
    }
    case 'session-files': {
      const phys = left.sessionFiles.find((each) => each.name === spec.name)?.phys ?? 0;
      if (phys === 0) throw new ImpossibleStep(`the handover has no files of a session '${spec.name}'`);
      return { phys, sizeBytes: pageBytes };
    }
    case 'bitmap':
      if (left.bitmap === undefined)
        throw new ImpossibleStep('the handover has no bitmap', 'chunk lists have: up to 7.0');
      return left.bitmap;
    case 'tree-root':
    case 'chunk':
      return { phys: left.map, sizeBytes: pageBytes };
    case 'tree-node':
      return { phys: nodeAt(memory, left, spec.level), sizeBytes: pageBytes };
    default:
      return { phys: descend(memory, left, left.depth - 1), sizeBytes: pageBytes };
  }
}

/** The first page of a level of the tree; of the one below its root when no level is named. */
function nodeAt(memory: PhysicalMemory, left: LeftBehind, level = left.depth - 2): number {
  if (level >= left.depth) throw new ImpossibleStep(`a tree of ${left.depth} levels has no level ${level}`);
  return descend(memory, left, left.depth - 1 - level);
}

/** What takes the place of what is there: undefined for a flipped bit. */
function freshBytes(memory: PhysicalMemory, spec: CorruptSpec, left: LeftBehind): Uint8Array | undefined {
  if (spec.bytes === undefined && spec.pointer === undefined) return undefined;
  const once = spec.pointer === undefined ? hexToBytes(spec.bytes ?? '') : new Uint8Array(8);
  if (spec.pointer !== undefined) {
    const levels = { 'tree-root': left.depth - 1, 'tree-node': spec.level, 'tree-leaf': 0 };
    new DataView(once.buffer).setBigUint64(0, BigInt(nodeAt(memory, left, levels[spec.pointer])), true);
  }
  const all = new Uint8Array(once.length * (spec.times ?? 1));
  for (let at = 0; at < all.length; at += once.length) all.set(once, at);
  return all;
}

/** The first page of the tree `levels` below its root. */
function descend(memory: PhysicalMemory, left: LeftBehind, levels: number): number {
  let at = left.map;
  for (let level = 0; level < levels; level++) {
    if (!memory.contains(at as PhysAddr, memory.page.sizeBytes)) {
      throw new ImpossibleStep('an earlier corruption cut this part of the tree off');
    }
    const words = memory.readBytes(at as PhysAddr, memory.page.sizeBytes);
    const view = new DataView(words.buffer);
    let next = 0;
    for (let offset = 0; offset < words.length && next === 0; offset += 8) {
      next = view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000;
    }
    if (next === 0) throw new ImpossibleStep('the tree is empty');
    at = next;
  }
  return at;
}

/** @returns where in the target the text was. */
function replaceText(memory: PhysicalMemory, target: Target, text: string, spec: CorruptSpec): number {
  if (!memory.contains(target.phys as PhysAddr, target.sizeBytes)) {
    throw new ImpossibleStep(`an earlier corruption left no ${spec.what} in RAM`);
  }
  const bytes = memory.readBytes(target.phys as PhysAddr, target.sizeBytes);
  const wanted = new TextEncoder().encode(text);
  const at = bytes.findIndex((_, i) => wanted.every((byte, k) => bytes[i + k] === byte));
  if (at < 0) throw new ImpossibleStep(`'${text}' is not in the ${spec.what}`);
  const fresh = spec.bytes === undefined ? new TextEncoder().encode(spec.with ?? '') : hexToBytes(spec.bytes);
  if (fresh.length > wanted.length) throw new ImpossibleStep(`'${spec.with}' is longer than '${text}'`);
  const padded = new Uint8Array(wanted.length);
  padded.set(fresh);
  memory.writeBytes(physAddr(target.phys + at), padded);
  return at;
}
