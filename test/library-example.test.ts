import { expect, test, vi } from 'vitest';

test('the example of the README hands a folio from 7.2 to 7.3', async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  try {
    await import('./library-example.ts');
    expect(log.mock.calls).toEqual([[true, 2, 'cafe']]);
  } finally {
    log.mockRestore();
  }
});
