import type { NotShown, Regression } from './regression.ts';
import { KHO_NOT_SHOWN, KHO_REGRESSIONS } from './rows-kho.ts';
import { LIVEUPDATE_NOT_SHOWN, LIVEUPDATE_REGRESSIONS } from './rows-liveupdate.ts';

/** The bugs fixed after merge that scenarios show, by row. */
export const REGRESSIONS: readonly Regression[] = [...KHO_REGRESSIONS, ...LIVEUPDATE_REGRESSIONS];

/** The rest of the list, and why. */
export const NOT_SHOWN: readonly NotShown[] = [...KHO_NOT_SHOWN, ...LIVEUPDATE_NOT_SHOWN];
