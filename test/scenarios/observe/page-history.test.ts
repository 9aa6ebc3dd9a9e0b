import { expect, test } from 'vitest';
import { PAGE_4K } from '../../../machine/index.ts';
import { formatPageHistory, PageHistory } from '../../../scenarios/observe/page-history.ts';
import { findScenario } from '../../../scenarios/run/library.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';

function historyOf(name: string, addr: number): PageHistory {
  const history = new PageHistory(addr);
  runScenario(findScenario(name), { page: PAGE_4K, observer: history });
  return history;
}

test('a page that comes back by half of a NUMA restore is followed to where it stays', () => {
  const { events } = historyOf('numa-restore', 0x58000000);
  expect(events.map(({ kernel, state, object }) => [kernel, state, object])).toEqual([
    [1, 'free', undefined],
    [1, 'allocated, reference count 1, preserved for the next kernel with order 15', 'guest'],
    [1, 'only its bytes are left', undefined],
    [2, 'reserved for the handover, not restored, marked as preserved with order 15', 'guest'],
  ]);
});

test('a page whose reservation was lost is seen to go to the page allocator', () => {
  const { events } = historyOf('lost-reservations', 0x58402000);
  expect(events.at(-1)).toMatchObject({ kernel: 2, state: 'free', object: 'scattered' });
  expect(events.at(-1)?.writer).toContain('free memory');
});

test('lines stay within 80 columns, and a page outside RAM has no history but that', () => {
  const { events } = historyOf('numa-restore', 0x58000000);
  const text = formatPageHistory(0x58000000, events);
  expect(text.split('\n').every((line) => line.length <= 80)).toBe(true);
  expect(historyOf('numa-restore', 0x1000).events).toEqual([
    { kernel: 1, when: 'boot of 7.3', state: 'no RAM', writer: 'nobody' },
    { kernel: 2, when: 'boot of 7.3', state: 'no RAM', writer: 'nobody' },
  ]);
});
