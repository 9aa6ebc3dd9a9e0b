import { calibrate } from './calibration.ts';
import { benchMemblock } from './memblock.ts';
import { benchRadix } from './radix.ts';
import { type BenchTable, formatTable } from './table.ts';
import { benchTerabyte } from './terabyte.ts';

const now = () => performance.now();

/** The tables, in the order in which they are printed; each is a function of a clock in milliseconds. */
const TABLES: readonly ((now: () => number) => BenchTable)[] = [benchRadix, benchMemblock, benchTerabyte];

process.stdout.write(formatTable(calibrate(now)));
for (const table of TABLES) process.stdout.write(`\n${formatTable(table(now))}`);
