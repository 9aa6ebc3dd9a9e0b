import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from './package-root.ts';
import { scenarioJsonSchema } from './run/schema.ts';

/** Writes scenarios/scenario.schema.json; a test fails while it differs from the schema in the code. */
writeFileSync(
  join(packageRoot(), 'scenarios', 'scenario.schema.json'),
  `${JSON.stringify(scenarioJsonSchema(), undefined, 2)}\n`,
);
