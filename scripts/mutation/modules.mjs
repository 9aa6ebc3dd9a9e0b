/**
 * The five modules whose tests are themselves tested: what is mutated, and the test files that are to notice.
 * Each mutant runs the tests that reach it, the quick ones first.
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
    tests: ['dump', 'golden', 'libfdt', 'limits', 'parse', 'parse-checks', 'read', 'text'].map(
      (name) => `test/kernel/fdt/${name}.test.ts`,
    ),
  },
  radix: {
    mutate: ['radix-*', 'geometry', 'leaf-places', 'node-source', 'table-links', 'tree-tables'].map(
      (name) => `kernel/kho/${name}.ts`,
    ),
    tests: [
      'geometry',
      'leaf-places',
      'radix-audit',
      'radix-costs',
      'radix-limits',
      'radix-live',
      'radix-results',
      'radix-run',
      'radix-tiny',
      'radix-tree',
      'radix-walk',
    ].map((name) => `test/kernel/kho/${name}.test.ts`),
  },
  memblock: {
    mutate: ['machine/memblock/*.ts'],
    // What the kernel's own memblock did is in traces.
    tests: [
      ...['arrays', 'asking', 'cases', 'cost', 'edges', 'free-ranges', 'memblock', 'model', 'region-table'].map(
        (name) => `test/machine/memblock/${name}.test.ts`,
      ),
      'test/scenarios/replay/memory.test.ts',
    ],
  },
};

/** The module that the run is about, by its name in the environment. */
export function chosenModule() {
  const name = process.env.KHOSIM_MUTATION ?? '';
  const chosen = MODULES[name];
  if (chosen === undefined) throw new Error(`no module '${name}': one of ${Object.keys(MODULES).join(', ')}`);
  return { name, ...chosen };
}
