import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { PAGE_4K } from '../../../machine/index.ts';
import { check } from '../../../scenarios/abi/check.ts';
import { findSubject } from '../../../scenarios/abi/proposal.ts';
import { simulatorProver } from '../../../scenarios/abi/simulator-prover.ts';
import { checkJunit, checkKtap } from '../../../scenarios/abi/test-formats.ts';

const FOLDER = fileURLToPath(new URL('../../../docs/examples', import.meta.url));

async function checked(name: string) {
  const after = await findSubject(`${FOLDER}/${name}.yaml`);
  return check(await findSubject('kho-v4'), after, { prover: simulatorProver([PAGE_4K]) });
}

test('each example of a proposal has the verdict and the handovers that its document promises', async () => {
  expect(readdirSync(FOLDER).sort()).toEqual(['better-words.yaml', 'renamed-property.yaml', 'wider-field.yaml']);
  const wider = await checked('wider-field');
  expect([wider.verdict, wider.ok]).toEqual(['breaking-without-bump', false]);
  expect(wider.proof.runs.map((run) => run.outcome)).toEqual(['corrupt', 'corrupt']);
  expect(wider.proof.runs[0]?.clientsBroken).toEqual(['vmalloc', 'kho_test', 'LUO session']);
  const renamed = await checked('renamed-property');
  expect([renamed.verdict, renamed.ok]).toEqual(['breaking', true]);
  expect(renamed.proof.runs.map((run) => run.outcome)).toEqual(['cold-boot', 'cold-boot']);
  const words = await checked('better-words');
  expect([words.verdict, words.ok]).toEqual(['compatible', true]);
  expect(words.proof.runs.map((run) => run.outcome)).toEqual(['handover', 'handover']);
});

test('the formats for machines count what failed', async () => {
  const wider = await checked('wider-field');
  const ktap = checkKtap(wider);
  expect(ktap).toMatch(/^KTAP version 1\n1\.\.3\n/);
  expect(ktap.match(/^(not )?ok \d+ /gm)).toEqual(['not ok 1 ', 'not ok 2 ', 'not ok 3 ']);
  const junit = checkJunit(wider);
  expect(junit).toMatch(/^<\?xml version="1.0" encoding="UTF-8"\?>\n<testsuites tests="3" failures="3" skipped="0">/);
  expect(junit.match(/<testcase /g)).toHaveLength(3);
  expect(junit).toContain('wider-field.yaml:5');
});
