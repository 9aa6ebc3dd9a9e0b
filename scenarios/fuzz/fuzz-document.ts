import { FAULT_SITES } from '../../kernel/fault-sites.ts';
import { STALE_MEMORY } from '../run/stale.ts';
import { KNOWN_BUGS } from './known-bugs.ts';
import { QUIRK_EFFECTS } from './quirk-effects.ts';

const INTRODUCTION = `# What khosim fuzz looks for

Random scenarios: a machine, its kernels, what clients do and what goes wrong, all of it drawn from one seed. Each has two
phases: faults first, then one object that is preserved and handed over without any. Checks that stand outside all
kernels look at every page of every object, at page states, sessions and subtrees, and at how each kernel started, which has
to be as the contracts of the two releases say.

What is not as it should be needs an explanation: a bug of this list whose own condition is met, for the very pages that it
spoils; a field that the scenario changed, and what may follow of that; or a crash that the scenario asked for. Anything else
is a violation. Damage that no kernel mentions is counted by the field behind it, always.

This file is written by \`npm run docs\`.
`;

/** The text of docs/fuzz.md: the known bugs and the fault sites. */
export function fuzzDocument(): string {
  const bugs = KNOWN_BUGS.map(({ name, releases, condition, what, seen }) =>
    [
      `### ${name}`,
      '',
      `- releases: ${releases}`,
      `- when: ${condition}`,
      `- what: ${what}`,
      `- seen as: ${seen}`,
      '',
    ].join('\n'),
  );
  const sites = FAULT_SITES.map(({ site, what, follows }) => `| \`${site}\` | ${what} | ${follows} |`);
  return [
    INTRODUCTION,
    '## Known bugs',
    '',
    ...bugs,
    '## Quirks',
    '',
    'One scenario in twelve gives all its kernels an old code path back (`quirks:`). No release here has these bugs; what follows of',
    'them is said of a run as of a changed field, and of the quirks that are not in this list nothing can be seen.',
    '',
    '| quirk | what may follow |',
    '|---|---|',
    ...QUIRK_EFFECTS.map(({ quirk, follows }) => `| \`${quirk}\` | ${follows} |`),
    '',
    '## Fault sites',
    '',
    'What a scenario may name in `fault: { at: SITE, nth: N }`.',
    '',
    '| site | what fails | what must follow |',
    '|---|---|---|',
    ...sites,
    '',
    '## Lost writes',
    '',
    'What a scenario may name in `corrupt: { what: TARGET, stale: true }`. Whatever the old kernel writes to it from that step on stays',
    'in a cache: it sees its own writes, and the next kernel finds what was in RAM before.',
    '',
    '| target | what is lost | what must follow |',
    '|---|---|---|',
    ...STALE_MEMORY.map(({ what, lost, follows }) => `| \`${what}\` | ${lost} | ${follows} |`),
    '',
  ].join('\n');
}
