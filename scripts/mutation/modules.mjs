/**
 * The five modules whose tests are themselves tested: what is mutated, and the test files that are to notice.
 * Each mutant runs the tests that reach it, the quick ones first. `most`: how long one may take, in ms of CPU.
 */
export const MODULES = {
  'chunk-list': {
    mutate: ['kernel/kho/chunk-list.ts'],
    tests: ['test/kernel/kho/chunk-list.test.ts'],
  },
  blocks: {
    mutate: ['kernel/liveupdate/block-set.ts', 'kernel/liveupdate/entry-array.ts'],
    tests: ['test/kernel/liveupdate/block-set.test.ts', 'test/kernel/liveupdate/entry-array.test.ts'],
  },
  fdt: {
    mutate: ['kernel/fdt/*.ts'],
    tests: ['dump', 'golden', 'libfdt', 'parse', 'parse-checks', 'read', 'text'].map(
      (name) => `test/kernel/fdt/${name}.test.ts`,
    ),
  },
  radix: {
    mutate: ['kernel/kho/radix-*.ts', 'kernel/kho/geometry.ts'],
    tests: ['geometry', 'radix-audit', 'radix-run', 'radix-tiny', 'radix-tree'].map(
      (name) => `test/kernel/kho/${name}.test.ts`,
    ),
  },
  memblock: {
    mutate: ['machine/memblock/*.ts'],
    // Tests that walk through all small states take seconds: without them a mutant is quick, and the score no better.
    most: 1500,
    tests: ['cases', 'memblock', 'model'].map((name) => `test/machine/memblock/${name}.test.ts`),
  },
};

/** The module that the run is about, by its name in the environment. */
export function chosenModule() {
  const name = process.env.KHOSIM_MUTATION ?? '';
  const chosen = MODULES[name];
  if (chosen === undefined) throw new Error(`no module '${name}': one of ${Object.keys(MODULES).join(', ')}`);
  return { name, ...chosen };
}
