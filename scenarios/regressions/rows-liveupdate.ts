import { type NotShown, type Regression, SMALL } from './regression.ts';

/** Rows 32 to 50: LUO and memfd. */
export const LIVEUPDATE_REGRESSIONS: readonly Regression[] = [
  {
    row: 42,
    what: 'a session without a name is accepted',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'a session called ""; it is made',
    scenario: `${SMALL}
steps:
  - session: { name: "" }
    expect: EINVAL`,
  },
];

const NO_TRACE = 'leaves no trace in bytes or page states';
const NO_SCENARIO = 'no scenario shows it yet';
const NO_CALL = 'scenarios have no step for the call that it is about';
const NOT_MODELLED = 'what it is about is not modelled';

/** Of these, what no scenario shows. */
export const LIVEUPDATE_NOT_SHOWN: readonly NotShown[] = [
  { row: 32, what: 'finishing frees twice after a failed retrieve', why: NO_SCENARIO },
  { row: 33, what: 'unfreezing loses the handle', why: NO_SCENARIO },
  { row: 34, what: 'one file in two sessions', why: NO_CALL },
  { row: 35, what: 'a session that could not be made is said to be there', why: NO_SCENARIO },
  { row: 36, what: 'errors in a session’s files are ignored', why: NO_SCENARIO },
  { row: 37, what: 'unpreserving and finishing use what is freed', why: NO_TRACE },
  { row: 38, what: 'one file is retrieved twice', why: NO_TRACE },
  { row: 39, what: 'the list of sessions changes while it is serialized', why: NO_TRACE },
  { row: 40, what: 'a call on a session of the wrong kind', why: NO_CALL },
  { row: 41, what: 'sessions are frozen by a kexec that comes back', why: NOT_MODELLED },
  { row: 43, what: 'reserved fields are not looked at', why: NOT_MODELLED },
  { row: 44, what: 'an FLB is freed too early, or never', why: NO_SCENARIO },
  { row: 45, what: 'a size overflows when it is multiplied', why: NO_SCENARIO },
  { row: 46, what: 'an error path puts the wrong folio', why: NO_SCENARIO },
  { row: 47, what: 'a folio stays in the page cache', why: NO_SCENARIO },
  { row: 48, what: 'data is dropped under memory pressure after it was restored', why: NO_SCENARIO },
  { row: 49, what: 'a memfd’s seals vanish', why: NO_SCENARIO },
  { row: 50, what: 'readers see a wrong file size', why: NO_TRACE },
];
