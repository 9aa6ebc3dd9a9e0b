import { libraryScenario } from '../../../scenarios/run/library.ts';
import type { Scenario } from '../../../scenarios/run/load.ts';

/** A scenario of the library on kernels of another release, without what its file expects. */
export function libraryScenarioOn(name: string, release: string): Scenario {
  const scenario = libraryScenario(name);
  const { spec } = scenario;
  const steps = scenario.steps.map((step) =>
    step.spec.kexec?.release === undefined ? step : { ...step, spec: { kexec: { ...step.spec.kexec, release } } },
  );
  return { ...scenario, spec: { ...spec, expect: {}, kernel: { ...spec.kernel, release } }, steps };
}
