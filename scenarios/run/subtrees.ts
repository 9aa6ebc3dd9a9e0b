import { ENOENT, type Errno, isErrno } from '../../kernel/errno.ts';
import { readSubtreeFile } from '../../kernel/kho/debugfs.ts';
import { mix32 } from '../../machine/random.ts';
import type { PhysAddr } from '../../machine/units.ts';
import type { RunState } from './run-state.ts';
import type { SubtreeSpec } from './schema.ts';
import { writeAs } from './steps.ts';

/** A subtree as the scenario remembers it, outside all kernels. */
export interface BookedSubtree {
  readonly name: string;
  readonly content: Uint8Array;
  /** Where its blob lies while this kernel owns it. */
  phys: PhysAddr;
  state: 'outgoing' | 'crossed' | 'restored' | 'lost';
  crossings: number;
  /** What was wrong when it was looked up. */
  wrong: string;
}

/** Adds a subtree: a blob in memory that KHO allocates and preserves. */
export function addSubtree(run: RunState, spec: SubtreeSpec): 0 | Errno | undefined {
  const content = spec.text === undefined ? blobContent(run.seed, spec) : new TextEncoder().encode(spec.text);
  const phys = placeBlob(run, spec.name, content);
  if (typeof phys !== 'number' || isErrno(phys)) return phys;
  run.subtrees.set(spec.name, { name: spec.name, content, phys, state: 'outgoing', crossings: 0, wrong: '' });
  return 0;
}

function placeBlob(run: RunState, name: string, content: Uint8Array): PhysAddr | Errno | undefined {
  const { kho, memory } = run.kernel.context;
  return run.kernel.enter((): PhysAddr | Errno => {
    const phys = kho.allocPreserve(content.length);
    if (isErrno(phys)) return phys;
    writeAs(run, `the owner of subtree ${name}`, () => memory.writeBytes(phys, content));
    const err = kho.addSubtree(name, phys, content.length);
    if (err === 0) return phys;
    kho.unpreserveFree(phys, content.length);
    return err;
  });
}

function blobContent(seed: number, spec: SubtreeSpec): Uint8Array {
  const bytes = new Uint8Array(spec.size ?? 0);
  let state = seed;
  for (const character of spec.name) state = mix32(state ^ (character.codePointAt(0) ?? 0));
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** Removes a subtree and frees its blob. */
export function removeSubtree(run: RunState, name: string): 0 | Errno | undefined {
  const subtree = run.subtrees.get(name);
  if (subtree === undefined || subtree.state !== 'outgoing') return ENOENT;
  const { kho } = run.kernel.context;
  return run.kernel.enter((): 0 => {
    kho.removeSubtree(subtree.phys);
    kho.unpreserveFree(subtree.phys, subtree.content.length);
    run.subtrees.delete(name);
    return 0;
  });
}

/** Reads a subtree's file in debugfs, and compares it with the blob. */
export function readDebugfs(run: RunState, name: string): 0 | Errno | undefined {
  const subtree = run.subtrees.get(name);
  const { kernel, context } = run.kernel;
  const entry = kernel.kho.subtreesOut.find((each) => each.name === name);
  if (subtree === undefined || entry === undefined) return ENOENT;
  const { content } = subtree;
  const file = run.kernel.enter(() => readSubtreeFile(context, entry, content.length));
  if (file === undefined) return undefined;
  const ok = file.sizeBytes === content.length && file.bytes.every((byte, i) => byte === content[i]);
  const detail = ok ? `${content.length} bytes` : `${file.sizeBytes} bytes of a blob of ${content.length}`;
  run.checks.push({ name: `debugfs: ${name}`, ok, detail, firstBadEvent: null });
  return 0;
}

/** Looks every subtree of the predecessor up, as its client would, and compares the blob. */
export function retrieveSubtrees(run: RunState): void {
  const { kho, memory } = run.kernel.context;
  for (const subtree of run.subtrees.values()) {
    if (subtree.state !== 'crossed') continue;
    const found = run.kernel.enter(() => kho.retrieveSubtree(subtree.name));
    if (found === undefined || isErrno(found)) {
      subtree.state = 'lost';
      subtree.wrong =
        found === undefined ? 'looking it up made the kernel fall over' : 'the new kernel does not find it';
      continue;
    }
    subtree.state = 'restored';
    if (found.sizeBytes !== undefined && found.sizeBytes !== subtree.content.length) {
      subtree.wrong = `found with ${found.sizeBytes} bytes, left with ${subtree.content.length}`;
    }
    const bytes = run.kernel.enter(() => memory.readBytes(found.phys, subtree.content.length));
    if (bytes === undefined || bytes.some((byte, i) => byte !== subtree.content[i]))
      subtree.wrong = 'its content changed';
    run.kernel.enter(() => kho.restoreFree(found.phys));
  }
}

/** Hangs the subtrees that this kernel's clients took back into the next handover. */
export function renewSubtrees(run: RunState): void {
  for (const subtree of run.subtrees.values()) {
    if (subtree.state !== 'restored' || subtree.wrong !== '') continue;
    const phys = placeBlob(run, subtree.name, subtree.content);
    if (typeof phys !== 'number' || isErrno(phys)) continue;
    subtree.phys = phys;
    subtree.state = 'outgoing';
  }
}

/** The jump. */
export function crossSubtrees(run: RunState): void {
  for (const subtree of run.subtrees.values()) {
    if (subtree.state === 'outgoing') {
      subtree.state = 'crossed';
      subtree.crossings++;
    } else subtree.state = 'lost';
  }
}
