import {
  ASYMMETRIC_MATCHERS_OBJECT,
  chai,
  GLOBAL_EXPECT,
  getState,
  JestAsymmetricMatchers,
  JestChaiExpect,
  JestExtend,
  setState,
} from '@vitest/expect';
import { format } from '@vitest/pretty-format';
import { stripSnapshotIndentation } from '@vitest/snapshot';

/*
 * What the tests of the five modules use of vitest, as plain calls: a mutant then costs the tests that reach it and
 * nothing else. Starting vitest anew for each of some thousand mutants takes seconds each.
 */

/** Where `describe` and `test` put what they find: set by the runner around the import of a test file. */
export const registry = { file: '', tests: [] };
const path = [];

function title(pattern, args, index) {
  const first = args[0];
  let next = 0;
  const text = pattern
    .replace(/\$(\w+)/g, (whole, key) =>
      first !== null && typeof first === 'object' && key in first ? String(first[key]) : whole,
    )
    .replace(/%[sdifjo]/g, () => String(args[next++]));
  return text === pattern ? `${text} [${index}]` : text;
}

function eachOf(call) {
  return (cases) =>
    (pattern, body, ...rest) => {
      for (const [index, item] of cases.entries()) {
        const args = Array.isArray(item) ? item : [item];
        call(title(pattern, args, index), () => body(...args), ...rest);
      }
    };
}

export function describe(name, body) {
  path.push(name);
  try {
    body();
  } finally {
    path.pop();
  }
}
describe.each = eachOf(describe);

export function test(name, body) {
  const full = [...path, name].join(' > ');
  const same = registry.tests.filter((other) => other.file === registry.file && other.base === full).length;
  registry.tests.push({ file: registry.file, base: full, name: same === 0 ? full : `${full} #${same}`, body });
}
test.each = eachOf(test);
export const it = test;

chai.use(JestExtend);
chai.use(JestChaiExpect);
chai.use(JestAsymmetricMatchers);
chai.use((_chai, utils) => {
  utils.addMethod(chai.Assertion.prototype, 'toMatchInlineSnapshot', function match(expected) {
    const received = format(this._obj, { escapeString: false, printBasicPrototype: false, printFunctionName: false });
    new chai.Assertion(received.trim()).to.equal(stripSnapshotIndentation(expected).trim());
  });
});

export const expect = (value, message) => chai.expect(value, message);
Object.assign(expect, chai.expect, globalThis[ASYMMETRIC_MATCHERS_OBJECT]);
globalThis[GLOBAL_EXPECT] = expect;
setState(
  { assertionCalls: 0, isExpectingAssertions: false, expectedAssertionsNumber: null, ...getState(expect) },
  expect,
);
