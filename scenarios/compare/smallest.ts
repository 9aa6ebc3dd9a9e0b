import { alignUp, type PageSize } from '../../machine/index.ts';
import type { Scenario } from '../run/load.ts';
import { type MeasureOptions, worksWith } from './measure-scenario.ts';

const MIB = 2 ** 20;

/** No board is smaller. */
const LEAST_BYTES = 64 * MIB;

/** How exactly the least is found: to 32 MiB, or a 16th of what it is. */
const GRAIN_BYTES = 32 * MIB;

/**
 * The smallest machine on which a scenario comes out as it should, by running it: half the memory each time until it
 * fails, then between the last two.
 * @param ramBytes an amount with which it works.
 */
export function smallestMachine(
  scenario: Scenario,
  page: PageSize,
  ramBytes: number,
  options: MeasureOptions = {},
): number {
  const works = (memoryBytes: number) => worksWith(scenario, page, { ...options, memoryBytes });
  let good = ramBytes;
  let bad = 0;
  while (good > LEAST_BYTES) {
    const half = alignUp(good / 2, GRAIN_BYTES);
    if (half >= good) break;
    if (!works(half)) {
      bad = half;
      break;
    }
    good = half;
  }
  while (good - bad > Math.max(GRAIN_BYTES, good / 16)) {
    const middle = alignUp((good + bad) / 2, GRAIN_BYTES);
    if (middle >= good) break;
    if (works(middle)) good = middle;
    else bad = middle;
  }
  return good;
}
