import { expect, test } from 'vitest';
import { LATEST_RELEASE } from '../../../kernel/release.ts';
import { PAGE_4K } from '../../../machine/index.ts';
import { releaseWith, setOfRelease } from '../../../scenarios/abi/abi-set.ts';
import { simulatorProver } from '../../../scenarios/abi/simulator-prover.ts';
import { judge } from '../../../scenarios/abi/verdict.ts';
import { mutationsOf } from './mutations.ts';

/*
 * Every single change to 7.3, handed over both ways. Not all can show: a limit that no workload reaches, a property's
 * place that readers look past, a field whose value is small enough in either size, x86's setup_data on arm64. What is
 * verified is that no change makes the simulator itself fail, and that most do damage or cannot be coded at all.
 */
test('every single change to 7.3 does damage, cannot be coded, or is one that no workload reaches', {
  timeout: 3_600_000,
}, async () => {
  const base = { set: setOfRelease(LATEST_RELEASE), release: LATEST_RELEASE };
  const prover = simulatorProver([PAGE_4K]);
  const mutations = mutationsOf(base.set);
  let damaged = 0;
  let uncodable = 0;
  for (const { what, set } of mutations) {
    const changed = releaseWith(LATEST_RELEASE, what, set);
    const { changes } = judge(base, { set, release: changed });
    const { runs } = await prover.prove(
      LATEST_RELEASE,
      changed,
      changes.map((change) => ({ ...change, pageSizes: [PAGE_4K.name] })),
    );
    if (runs.some(({ outcome }) => outcome !== 'handover')) damaged++;
    else if (runs.length === 0) uncodable++;
  }
  expect(damaged + uncodable).toBeGreaterThan(mutations.length * 0.5);
  expect(damaged).toBeGreaterThan(150);
});
