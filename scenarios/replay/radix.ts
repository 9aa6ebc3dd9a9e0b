import { KernelHang, KernelPanic } from '../../kernel/failure.ts';
import { blockBytes, decodeKey, encodeKey } from '../../kernel/kho/geometry.ts';
import { u64OfBig } from '../../kernel/kho/u64.ts';
import {
  hex,
  hexOfHalves,
  MachineFault,
  type PageSize,
  type PhysAddr,
  PhysicalMemory,
  physAddr,
} from '../../machine/index.ts';
import { parseTrace, type TraceOperation } from './trace.ts';
import { addressOf, TraceTree } from './tree-state.ts';

/** How a trace is replayed. */
export interface ReplayOptions {
  readonly page: PageSize;
  /** Print the result of each operation that has one. */
  readonly results?: boolean;
  /** Print digests without the lines that they are made of. */
  readonly digestsOnly?: boolean;
  /** False: a kernel without NUMA, for which every frame is on node 0. */
  readonly numa?: boolean;
  /** What the user called the trace, for messages. */
  readonly file?: string;
}

/** RAM of a trace: 16 TiB of zeroes from address 0. */
export const TRACE_RAM_BYTES = 16 * 2 ** 40;

/** The operations, and how many operands each needs. */
const ARITIES = {
  preserve_pages: 2,
  preserve_folio: 2,
  unpreserve_pages: 2,
  unpreserve_folio: 2,
  add_key: 1,
  del_key: 1,
  encode: 2,
  decode: 1,
  walk: 0,
  list: 0,
  stats: 0,
  root: 0,
  set_root: 1,
  peek: 1,
  poke: 2,
  noroot: 0,
  destroy: 0,
  node_base: 1,
  node_fail: 1,
  node_budget: 1,
  nid: 3,
  scratch: 2,
} as const;

/** Operations before which no root is made. */
const ROOTLESS = new Set(['node_base', 'node_fail', 'node_budget', 'noroot']);

/**
 * Replays a trace of kind radix.
 * @param text the trace.
 * @returns what the real code prints for it.
 * @throws InputError for a trace that cannot be used.
 */
export function replayRadix(text: string, options: ReplayOptions): string {
  const operations = parseTrace(text, ARITIES, options.file);
  const replay = new RadixReplay(options);
  const out = [replay.constsLine()];
  let executed = 0;
  let end: RunEnd = 'goes-on';
  for (const operation of operations) {
    executed++;
    end = guarded(operation.line, out, () => out.push(replay.run(operation)));
    if (end !== 'goes-on') break;
  }
  // A tree whose walk has no end is not walked again.
  if (end !== 'hang') guarded(operations.at(-1)?.line ?? 0, out, () => out.push(replay.closing()));
  out.push(`ops ${executed}\n`);
  return out.join('');
}

type RunEnd = 'goes-on' | 'panic' | 'hang';

/** Runs one operation; prints what the kernel fell over. A fault gives up that operation alone. */
function guarded(line: number, out: string[], run: () => void): RunEnd {
  try {
    run();
    return 'goes-on';
  } catch (error) {
    if (error instanceof MachineFault) {
      const what =
        error.access === 'pfn_to_page'
          ? `FAULT pfn_to_page pfn=${error.address}`
          : `FAULT sig=11 phys=${error.address}`;
      out.push(`fault line=${line} ${what}\n`);
      return 'goes-on';
    }
    if (error instanceof KernelPanic) {
      out.push(`fault line=${line} PANIC ${error.message}\n`);
      return 'panic';
    }
    if (error instanceof KernelHang) {
      out.push(`fault line=${line} BUG ${error.message}\n`);
      return 'hang';
    }
    throw error;
  }
}

/** What an operation came to: a number for one with a result, text for one that prints, nothing. */
type Outcome = number | string | undefined;

class RadixReplay {
  readonly #options: ReplayOptions;
  readonly #memory: PhysicalMemory;
  readonly #state: TraceTree;
  #rootless = false;

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#memory = new PhysicalMemory(options.page, [{ base: physAddr(0), sizeBytes: TRACE_RAM_BYTES, nid: 0 }]);
    this.#state = new TraceTree(this.#memory, options.numa ?? true);
  }

  constsLine(): string {
    const { page, keyWidth, tableLog2, bitmapLog2, depth } = this.#state.geometry;
    return (
      `consts page_shift=${page.shift} key_width=${keyWidth} table_log2=${tableLog2} ` +
      `bitmap_log2=${bitmapLog2} depth=${depth}\n`
    );
  }

  /** Runs one operation and gives what is printed. */
  run(operation: TraceOperation): string {
    const state = this.#state;
    if (!this.#rootless && !ROOTLESS.has(operation.name)) state.tree.init();
    const warningsBefore = state.warnings;
    const outcome = this.#perform(operation);
    if (typeof outcome === 'string') return outcome;
    if (outcome === undefined || this.#options.results !== true) return '';
    const warnings = state.warnings - warningsBefore;
    return `op ${operation.line} ${outcome}${warnings === 0 ? '' : ` warn=${warnings}`}\n`;
  }

  #perform({ name, operands }: TraceOperation): Outcome {
    const state = this.#state;
    const [a = 0n, b = 0n, c = 0n] = operands;
    switch (name as keyof typeof ARITIES) {
      case 'preserve_pages':
        return state.preservePages(a, b);
      case 'preserve_folio':
        return state.preserveFolio(a, b);
      case 'unpreserve_pages':
        state.unpreservePages(a, b);
        return 0;
      case 'unpreserve_folio':
        state.unpreserveFolio(a, b);
        return 0;
      case 'add_key': {
        const key = u64OfBig(a);
        return state.tree.addKey(key.lo, key.hi);
      }
      case 'del_key': {
        const key = u64OfBig(a);
        state.tree.delKey(key.lo, key.hi);
        return 0;
      }
      case 'encode':
        return this.#encode(a, b);
      case 'decode':
        return this.#decode(a);
      case 'walk':
        return state.walkLines(this.#options.digestsOnly ?? false);
      case 'list':
        return state.listLines(this.#options.digestsOnly ?? false);
      case 'stats':
        return state.statsLines();
      case 'root':
        return state.rootLine();
      case 'set_root':
        state.tree.setRoot(Number(a) as PhysAddr);
        return undefined;
      case 'peek':
        return `peek ${hex(a)} = ${this.#memory.readU64Hex(addressOf(a))}\n`;
      case 'poke':
        this.#memory.writeU64Big(addressOf(a), b);
        return undefined;
      case 'noroot':
        this.#rootless = true;
        state.tree.setRoot(undefined);
        return 0;
      case 'destroy':
        state.tree.destroy();
        return `destroyed live=${state.alloc.live}\n`;
      case 'node_base':
        state.alloc.setBase(a);
        return undefined;
      case 'node_fail':
        state.alloc.failAfter(a);
        return undefined;
      case 'node_budget':
        state.alloc.setBudget(a);
        return undefined;
      case 'nid':
        state.addNid(a, b, c);
        return undefined;
      case 'scratch':
        state.addScratch(a, b);
        return undefined;
    }
  }

  #encode(phys: bigint, order: bigint): string {
    const { lo, hi } = u64OfBig(phys);
    const order32 = Number(BigInt.asUintN(32, order));
    const key = encodeKey(this.#state.geometry, lo, hi, order32);
    return `encode ${hex(phys)} ${order32} = ${hexOfHalves(key.lo, key.hi)}\n`;
  }

  #decode(key: bigint): string {
    const { lo, hi } = u64OfBig(key);
    const block = decodeKey(this.#state.geometry, lo, hi);
    const size = blockBytes(this.#state.geometry, block.order);
    return (
      `decode ${hex(key)} = ${hexOfHalves(block.lo, block.hi)} ${block.order} ` +
      `sz=${hexOfHalves(size.lo, size.hi)}\n`
    );
  }

  /** What is printed at the end: `list` and `stats` if there is a root. */
  closing(): string {
    if (this.#state.tree.root === undefined) return '';
    return this.#state.listLines(this.#options.digestsOnly ?? false) + this.#state.statsLines();
  }
}
