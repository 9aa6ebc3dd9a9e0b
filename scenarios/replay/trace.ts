import { InputError, type InputMessage } from '../input-error.ts';

/** One operation of a trace: its name, and its operands as unsigned 64-bit numbers. */
export interface TraceOperation {
  /** 1-based, comments and blank lines counted. */
  readonly line: number;
  readonly name: string;
  readonly operands: readonly bigint[];
}

const LITERAL = /^([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)[uUlL]*$/;
const U64_MAX = (1n << 64n) - 1n;

/**
 * A C literal as an unsigned 64-bit number: hexadecimal, octal (leading 0) or decimal; negative ones wrap.
 * @returns undefined for anything else, and for what does not fit 64 bits.
 */
export function parseLiteral(text: string): bigint | undefined {
  const match = LITERAL.exec(text);
  if (match === null) return undefined;
  const digits = match[2] as string;
  const octal = /^0[0-9]+$/.test(digits);
  if (octal && /[89]/.test(digits)) return undefined;
  const value = BigInt(octal ? `0o${digits.slice(1)}` : digits);
  if (value > U64_MAX) return undefined;
  return match[1] === '-' ? BigInt.asUintN(64, -value) : value;
}

/**
 * Splits a trace into its operations: one a line, `#` starts a comment line. Operands beyond the needed ones are kept
 * and may be ignored.
 * @param arities how many operands each known operation needs at least.
 * @param file what the user called the trace, for messages.
 * @throws InputError with every unknown operation, missing operand and malformed number.
 */
export function parseTrace(text: string, arities: Readonly<Record<string, number>>, file?: string): TraceOperation[] {
  const operations: TraceOperation[] = [];
  const messages: InputMessage[] = [];
  const complain = (line: number, message: string, hint?: string) =>
    messages.push({ message, line, ...(file === undefined ? {} : { file }), ...(hint === undefined ? {} : { hint }) });
  for (const [index, raw] of text.split('\n').entries()) {
    const line = index + 1;
    const [name, ...words] = raw.trim().split(/\s+/);
    if (name === undefined || name === '' || name.startsWith('#')) continue;
    const arity = Object.hasOwn(arities, name) ? arities[name] : undefined;
    if (arity === undefined) {
      complain(line, `unknown operation '${name}'`);
      continue;
    }
    if (words.length < arity) {
      complain(line, `${name} needs ${arity} operand${arity === 1 ? '' : 's'}, not ${words.length}`);
      continue;
    }
    const operands: bigint[] = [];
    for (const word of words) {
      const value = parseLiteral(word);
      if (value === undefined) complain(line, `'${word}' is not a number`, 'a C literal of at most 64 bits');
      else operands.push(value);
    }
    operations.push({ line, name, operands });
  }
  if (messages.length > 0) throw new InputError(messages);
  return operations;
}
