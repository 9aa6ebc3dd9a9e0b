import fc from '../../node_modules/fast-check/lib/fast-check.js';

/** More runs of a property than this find hardly any more mutants, and each survivor pays for them. */
const MOST_RUNS = 100;

export * from '../../node_modules/fast-check/lib/fast-check.js';

const capped = {
  ...fc,
  assert: (property, parameters = {}) =>
    fc.assert(property, { ...parameters, numRuns: Math.min(parameters.numRuns ?? MOST_RUNS, MOST_RUNS) }),
};

export { capped as default };
