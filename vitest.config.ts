import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 180_000,
    // Two cores: more workers than that only add noise to the end-to-end tests.
    maxWorkers: 2,
    reporters: ['default', ['json', { outputFile: '.gauntlet/test-report.json' }]],
  },
});
