import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { RELEASES, UNRELEASED } from '../../../kernel/release.ts';
import { checkGolden } from '../../../scenarios/abi/golden.ts';
import { allContracts, type Subject, subjectByName } from '../../../scenarios/abi/subject.ts';

const GOLDEN = fileURLToPath(new URL('../../fixtures/abi-golden', import.meta.url));

test('the layout and the bytes of every contract are those that were recorded', () => {
  const subjects = [...UNRELEASED, ...RELEASES].map((release): Subject => {
    const subject = subjectByName(release.name);
    if (subject === undefined) throw new RangeError(release.name);
    return subject;
  });
  const results = checkGolden(GOLDEN, subjects);
  expect(results).toHaveLength(allContracts().length);
  expect(results.filter(({ status }) => status !== 'same')).toEqual([]);
});
