import { KernelHang } from '../../kernel/failure.ts';
import { MachineFault, type PageSize } from '../../machine/index.ts';
import { PHYS_ADDR_MAX } from '../../machine/memblock/flags.ts';
import { MemblockStop } from '../../machine/memblock/reports.ts';
import { fromU64, hexU64, InexactAddress } from '../../machine/memblock/u64.ts';
import { InputError } from '../input-error.ts';
import { MEMORY_OPERATIONS, type OperandReader } from './memory-operations.ts';
import { MemoryReplay } from './memory-state.ts';
import { parseTrace, type TraceOperation } from './trace.ts';

/** How a trace of kind memory is replayed. */
export interface MemoryReplayOptions {
  readonly page: PageSize;
  /** Print the result of each operation that has one. */
  readonly results?: boolean;
  /** Print digests without the lines that they are made of. */
  readonly digestsOnly?: boolean;
  /** False: a kernel without NUMA, whose regions have no nid of their own. */
  readonly numa?: boolean;
  /** What the user called the trace, for messages. */
  readonly file?: string;
}

const ARITIES = Object.fromEntries(Object.entries(MEMORY_OPERATIONS).map(([name, { arity }]) => [name, arity]));

/**
 * Replays a trace of memblock, scratch and handover operations on 16 TiB of zeroes.
 * @returns the whole output, as the trace language defines it.
 * @throws InputError for what is wrong with the trace.
 */
export function replayMemory(text: string, options: MemoryReplayOptions): string {
  const operations = parseTrace(text, ARITIES, options.file);
  const replay = new MemoryReplay(options.page, options.numa ?? true, options.digestsOnly ?? false);
  replay.printConstants();
  let executed = 0;
  for (const operation of operations) {
    executed++;
    if (!runOperation(replay, operation, options)) break;
  }
  replay.printDump(replay.digestsOnly);
  replay.print(`ops ${executed}`);
  return replay.output();
}

/** @returns whether the run goes on. */
function runOperation(replay: MemoryReplay, operation: TraceOperation, options: MemoryReplayOptions): boolean {
  const { line, name } = operation;
  const entry = MEMORY_OPERATIONS[name];
  if (entry === undefined) throw new RangeError(`an operation without an entry: ${name}`);
  const warnings = replay.warnings;
  try {
    const result = entry.run(replay, readerOf(operation, options.file)) ?? 0;
    if (options.results !== true || entry.result === 'none') return true;
    const hit = replay.warnings - warnings;
    const value = entry.result === 'address' ? hexU64(result) : `${result}`;
    replay.print(`op ${line} ${value}${hit === 0 ? '' : ` warn=${hit}`}`);
    return true;
  } catch (error) {
    if (error instanceof MachineFault) {
      const where = error.access === 'pfn_to_page' ? 'pfn_to_page pfn' : 'sig=11 phys';
      replay.print(`fault line=${line} FAULT ${where}=${error.address}`);
      return true;
    }
    if (error instanceof MemblockStop) {
      replay.print(`fault line=${line} ${error.kind === 'panic' ? 'PANIC ' : ''}${error.message}`);
      return false;
    }
    if (error instanceof KernelHang) {
      replay.print(`fault line=${line} BUG ${error.message}`);
      return false;
    }
    if (error instanceof InexactAddress) throw cannotReplay(operation, error.message, options.file);
    throw error;
  }
}

function cannotReplay({ line, name }: TraceOperation, what: string, file: string | undefined): InputError {
  return new InputError({
    message: `${name} cannot be replayed: ${what}`,
    line,
    ...(file === undefined ? {} : { file }),
    hint: 'above 2^53, addresses and sizes must be multiples of 2048, or -1',
  });
}

function readerOf(operation: TraceOperation, file: string | undefined): OperandReader {
  const { operands } = operation;
  const raw = (index: number) => operands[index] ?? 0n;
  const exactly = (value: bigint): number => {
    const number = fromU64(value);
    if (number !== PHYS_ADDR_MAX && BigInt(number) !== value) {
      throw cannotReplay(operation, `no double has 0x${value.toString(16)}`, file);
    }
    return number;
  };
  const exact = (index: number): number => exactly(raw(index));
  return {
    given: operands.length,
    u64: raw,
    address: exact,
    size: (index, base) => {
      const end = raw(base) + raw(index);
      // What is cut off at the end of the address space may as well be cut off from all ones.
      if (end >= 2n ** 64n - 1n) return PHYS_ADDR_MAX;
      exactly(end);
      return exact(index);
    },
    int: (index) => Number(BigInt.asIntN(32, raw(index))),
    flags: (index) => Number(BigInt.asUintN(32, raw(index))),
    truth: (index) => raw(index) !== 0n,
  };
}
