/**
 * A whole number, or the formula for one: `(PAGE_SIZE - 8) / 8`. Contracts are plain data, so whatever follows from the
 * page size, from a constant or from the length of a string is kept as text in the notation of a C header. It is
 * evaluated once, when a contract is compiled.
 */
export type Expression = number | string;

/** The names that a formula may use. */
export type Scope = ReadonlyMap<string, number>;

/** A formula that cannot be evaluated: unknown name, bad syntax, no whole number as result. */
export class ExpressionError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ExpressionError';
  }
}

const FUNCTIONS: Readonly<Record<string, (...args: number[]) => number>> = {
  /** DIV_ROUND_UP */
  divRoundUp: (a = 0, b = 1) => Math.ceil(a / b),
  /** ALIGN */
  alignUp: (a = 0, b = 1) => Math.ceil(a / b) * b,
  /** floor(log2(a)) */
  ilog2: (a = 1) => 31 - Math.clz32(a),
  /** The next power of two that is not below a. */
  roundUpPow2: (a = 1) => 2 ** Math.ceil(Math.log2(a)),
  min: (...args) => Math.min(...args),
  max: (...args) => Math.max(...args),
};

const TOKEN = /\s*(?:(0x[0-9a-fA-F]+|\d+)|([A-Za-z_]\w*)|(<<|>>|[-+*/%(),|]))/y;

/**
 * Evaluates a formula. Operators by rising strength: `|`, `<<` `>>`, `+` `-`, `*` `/` `%`; division rounds down, as in
 * C on unsigned numbers; functions divRoundUp, alignUp, ilog2, roundUpPow2, min, max, and sizeof of a type.
 * @param sizeOf answers `sizeof`; without it the word is unknown.
 * @throws ExpressionError when it has no exact whole result of at most 2^53 - 1.
 */
export function evaluate(expression: Expression, scope: Scope, sizeOf?: (type: string) => number): number {
  if (typeof expression === 'number') return expression;
  const tokens = tokensOf(expression);
  let at = 0;
  const fail = (what: string): never => {
    throw new ExpressionError(`${what} in "${expression}"`);
  };
  const take = (token: string): boolean => tokens[at] === token && ++at > 0;
  const expect = (token: string): void => {
    if (!take(token)) fail(`"${token}" expected`);
  };

  const primary = (): number => {
    const token = tokens[at++];
    if (token === undefined) return fail('an operand is missing');
    if (token === '(') {
      const value = either();
      expect(')');
      return value;
    }
    if (/^\d/.test(token)) return Number(token);
    if (!/^[A-Za-z_]/.test(token)) return fail(`unexpected "${token}"`);
    if (!take('(')) return scope.get(token) ?? fail(`unknown name ${token}`);
    if (token === 'sizeof' && sizeOf !== undefined) {
      const size = sizeOf(tokens[at++] ?? '');
      expect(')');
      return size;
    }
    const call = FUNCTIONS[token] ?? fail(`unknown function ${token}`);
    const args = [either()];
    while (take(',')) args.push(either());
    expect(')');
    return call(...args);
  };
  const product = (): number => {
    let value = primary();
    for (;;) {
      if (take('*')) value *= primary();
      else if (take('/')) value = Math.floor(value / primary());
      else if (take('%')) value %= primary();
      else return value;
    }
  };
  const sum = (): number => {
    let value = product();
    for (;;) {
      if (take('+')) value += product();
      else if (take('-')) value -= product();
      else return value;
    }
  };
  const shift = (): number => {
    let value = sum();
    for (;;) {
      if (take('<<')) value *= 2 ** sum();
      else if (take('>>')) value = Math.floor(value / 2 ** sum());
      else return value;
    }
  };
  const either = (): number => {
    let value = shift();
    while (take('|')) value = Number(BigInt(value) | BigInt(shift()));
    return value;
  };

  const value = either();
  if (at < tokens.length) fail(`unexpected "${tokens[at]}"`);
  if (!Number.isSafeInteger(value)) fail(`${value} is not a whole number`);
  return value;
}

const tokenCache = new Map<string, readonly string[]>();

/** The same few hundred formulas are evaluated over and over: their tokens are kept. */
function tokensOf(text: string): readonly string[] {
  let tokens = tokenCache.get(text);
  if (tokens === undefined) {
    tokens = tokenize(text);
    if (tokenCache.size > 10_000) tokenCache.clear();
    tokenCache.set(text, tokens);
  }
  return tokens;
}

function tokenize(text: string): string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const start = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null) throw new ExpressionError(`unexpected "${text.slice(start).trim()[0] ?? ''}" in "${text}"`);
    tokens.push(match[1] ?? match[2] ?? match[3] ?? '');
  }
  return tokens;
}
