import { expect, test } from 'vitest';
import { libraryNames } from '../../../scenarios/run/library.ts';
import { expectAgreement, LARGE } from './export-agreement.ts';

test('the large scenarios are in the library', () => {
  expect(libraryNames()).toEqual(expect.arrayContaining([...LARGE]));
});

test.each(LARGE)('the image that %s exports says to inspect and boot what the run says', expectAgreement);
