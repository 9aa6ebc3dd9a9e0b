import { calibrate } from './calibration.ts';
import { type Clock, processClock } from './clock.ts';
import { benchMemblock } from './memblock.ts';
import { benchRadix } from './radix.ts';
import { type BenchTable, formatTable } from './table.ts';
import { benchTerabyte } from './terabyte.ts';

/** The tables, in the order in which they are printed; each is a function of the clocks. */
const TABLES: readonly ((clock: Clock) => BenchTable)[] = [benchRadix, benchMemblock, benchTerabyte];

process.stdout.write(formatTable(calibrate(processClock)));
for (const table of TABLES) process.stdout.write(`\n${formatTable(table(processClock))}`);
