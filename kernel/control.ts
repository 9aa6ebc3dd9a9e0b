import { enablePatches, type Patch, produceWithPatches } from 'immer';
import type { PhysAddr } from '../machine/index.ts';

/** A subtree of a root FDT, as a person would list it. */
export interface SubtreeState {
  readonly name: string;
  readonly phys: PhysAddr;
  readonly sizeBytes: number;
}

/** A preserved file of a session, as a session file shows it. */
export interface FileState {
  /** `0x`-hex: tokens may be any u64. */
  readonly token: string;
  readonly compatible: string;
  readonly retrieved: boolean;
}

/** A session and its files. */
export interface SessionState {
  readonly name: string;
  readonly direction: 'outgoing' | 'incoming';
  readonly retrieved: boolean;
  readonly files: readonly FileState[];
}

/**
 * What a person would call the kernel's state. Small, immutable, and followed by immer: each scenario step leaves its
 * patches here. The bytes and the page states are not in it: they have versions of their own.
 */
export interface ControlState {
  readonly release: string;
  readonly cmdline: string;
  readonly phase: 'booting' | 'running' | 'frozen' | 'stopped';
  readonly khoEnabled: boolean;
  readonly isKhoBoot: boolean;
  readonly scratch: readonly { readonly base: PhysAddr; readonly sizeBytes: number }[];
  readonly subtreesIn: readonly SubtreeState[];
  readonly subtreesOut: readonly SubtreeState[];
  readonly kexecCount: number;
  readonly previousRelease: string | null;
  readonly liveupdateNumber: number | null;
  readonly sessions: readonly SessionState[];
  readonly reserveMem: readonly {
    readonly name: string;
    readonly base: PhysAddr;
    readonly sizeBytes: number;
    readonly revived: boolean;
  }[];
}

/** What a change does to the state, and what undoes it. */
export interface ControlPatches {
  readonly patches: readonly Patch[];
  readonly inverse: readonly Patch[];
}

type Draft<T> = T extends readonly (infer U)[]
  ? Draft<U>[]
  : T extends object
    ? { -readonly [K in keyof T]: Draft<T[K]> }
    : T;

/** The state as recipes of `ControlStore.update` see it: everything may be assigned. */
export type ControlDraft = Draft<ControlState>;

enablePatches();

/** Holds the present control state and the patches since somebody last asked for them. */
export class ControlStore {
  #state: ControlState;
  #patches: Patch[] = [];
  #inverse: Patch[] = [];

  constructor(initial: ControlState) {
    this.#state = initial;
  }

  get state(): ControlState {
    return this.#state;
  }

  /** Changes the state: `recipe` gets a draft and assigns to it. */
  update(recipe: (draft: ControlDraft) => void): void {
    const [next, patches, inverse] = produceWithPatches(this.#state, (draft) => {
      recipe(draft as ControlDraft);
    });
    this.#state = next;
    this.#patches.push(...patches);
    this.#inverse.unshift(...inverse);
  }

  /** The patches since the last call: one step of a timeline. */
  takePatches(): ControlPatches {
    const taken = { patches: this.#patches, inverse: this.#inverse };
    this.#patches = [];
    this.#inverse = [];
    return taken;
  }

  /** Goes back to a state that `state` gave earlier (undo of a failed step). */
  restore(state: ControlState): void {
    this.update((draft) => Object.assign(draft, state));
  }
}

/** The state of a kernel that has just been entered. */
export function initialControlState(release: string, cmdline: string): ControlState {
  return {
    release,
    cmdline,
    phase: 'booting',
    khoEnabled: false,
    isKhoBoot: false,
    scratch: [],
    subtreesIn: [],
    subtreesOut: [],
    kexecCount: 0,
    previousRelease: null,
    liveupdateNumber: null,
    sessions: [],
    reserveMem: [],
  };
}
