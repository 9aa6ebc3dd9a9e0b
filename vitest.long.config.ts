import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.long.test.ts'],
    // A process for each file: CPU time and memory are counted by process.
    pool: 'forks',
    testTimeout: 3_600_000,
  },
});
