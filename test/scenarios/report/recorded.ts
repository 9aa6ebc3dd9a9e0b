import type { PageSize } from '../../../machine/index.ts';
import { RunRecorder } from '../../../scenarios/observe/run-recorder.ts';
import type { RunView } from '../../../scenarios/report/client/model.ts';
import { libraryScenario } from '../../../scenarios/run/library.ts';
import type { RunResult } from '../../../scenarios/run/result.ts';
import { runScenarioAtLength } from '../../../scenarios/run/runner.ts';

/** A run and its recording. */
export interface Recorded {
  readonly view: RunView;
  readonly result: RunResult;
  /** The recording of another run of the same. */
  again(): RunView;
}

/** Runs a scenario of the library and records it. */
export function recorded(name: string, page: PageSize): Recorded {
  const once = () => {
    const recorder = new RunRecorder();
    const { result, state } = runScenarioAtLength(libraryScenario(name), { page, observer: recorder });
    return { view: recorder.view(state, result), result };
  };
  return { ...once(), again: () => once().view };
}
