import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { reviewDocument } from './abi/review-document.ts';
import { fuzzDocument } from './fuzz/fuzz-document.ts';
import { packageRoot } from './package-root.ts';
import { regressionsDocument } from './regressions/document.ts';

/** Writes the documents that come out of contracts and runs; a test fails while one differs. */
const documents = {
  'review-of-the-radix-patch.md': reviewDocument,
  'regressions.md': regressionsDocument,
  'fuzz.md': fuzzDocument,
};
for (const [file, text] of Object.entries(documents)) writeFileSync(join(packageRoot(), 'docs', file), text());
