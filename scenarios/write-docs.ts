import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { reviewDocument } from './abi/review-document.ts';
import { packageRoot } from './package-root.ts';

/** Writes the documents that come out of contracts and runs; a test fails while one differs. */
writeFileSync(join(packageRoot(), 'docs', 'review-of-the-radix-patch.md'), reviewDocument());
