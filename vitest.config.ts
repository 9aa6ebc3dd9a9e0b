import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/**/*.long.test.ts'],
    pool: 'threads',
    isolate: false,
    // One of two cores would be left idle by default.
    maxWorkers: 2,
    sequence: { shuffle: true, seed: 1 },
    testTimeout: 30_000,
  },
});
