/*
 * khosim as a library: what the commands do, as functions that return plain data. The machine and the kernel beneath
 * are here too.
 */
export * from '../kernel/index.ts';
export type { Change, ChangeKind } from './abi/change.ts';
export { type CheckOptions, type CheckResult as AbiCheckResult, check as checkAbi, checkJson } from './abi/check.ts';
export { compare as compareAbi, type Side as AbiSide } from './abi/compare.ts';
export { findSubject, type ProposalModule, parseProposal } from './abi/proposal.ts';
export type { HandoverProver, Proof, ProofRun } from './abi/prover.ts';
export { type Shown, show as showAbi } from './abi/show.ts';
export { simulatorProver } from './abi/simulator-prover.ts';
export { type Subject, subjectByName } from './abi/subject.ts';
export type { Verdict as AbiVerdict } from './abi/verdict.ts';
export { type BootCapturedDocument, type BootCapturedOptions, bootCaptured } from './boot/boot-captured.ts';
export {
  type BootDocument,
  type BootedFile,
  type BootImageOptions,
  type BootSubject,
  bootImage,
} from './boot/boot-image.ts';
export { formatBoot } from './boot/format.ts';
export { type MeasureOptions, measureScenario, worksWith } from './compare/measure-scenario.ts';
export type { Measurement } from './compare/measurement.ts';
export { METRICS, metricRows } from './compare/metrics.ts';
export type * from './compare/result.ts';
export type { HandoverOutcome, HandoverVerdict } from './handover/judge.ts';
export { WORKLOADS, type WorkloadName } from './handover/workload.ts';
export { formatInputMessage, InputError, type InputMessage } from './input-error.ts';
export { explainFinding, explainPage, formatPageExplanation, type PageExplanation } from './inspect/explain.ts';
export { FINDING_CODES, type FindingCode, type Severity } from './inspect/finding-codes.ts';
export type { Finding } from './inspect/findings.ts';
export { formatInspect } from './inspect/format.ts';
export { handoverInMemory } from './inspect/image-source.ts';
export {
  type HandoverImage,
  type InspectDocument,
  type InspectOptions,
  type InspectResult,
  inspectImage,
} from './inspect/inspect.ts';
export {
  type CapturedMemory,
  type Inspectable,
  openCapturedMemory,
  openInspectable,
} from './io/captured-memory.ts';
export type { ImageOptions } from './io/image-options.ts';
export type { Cell } from './matrix/cell.ts';
export { MATRIX_RELEASES, type MatrixDocument, type MatrixRequest, runMatrix } from './matrix/matrix.ts';
export { runMatrixInParallel } from './matrix/parallel.ts';
export { replayMemory } from './replay/memory.ts';
export { replayRadix } from './replay/radix.ts';
export { formatHuman } from './report/human.ts';
export { formatJunit } from './report/junit.ts';
export { formatKtap } from './report/ktap.ts';
export { captureImage, writeImage } from './run/export.ts';
export { findScenario, libraryNames, libraryScenario } from './run/library.ts';
export { loadScenario, parseScenario, type Scenario, type ScenarioStep } from './run/load.ts';
export type { RunObserver } from './run/observer.ts';
export type {
  Amount,
  CheckResult,
  KernelResult as KernelRunResult,
  ObjectResult,
  Outcome,
  RunResult,
  StepResult,
  Verdict,
} from './run/result.ts';
export { DEFAULT_SEED, type RunOptions, runScenario } from './run/runner.ts';
export { type ScenarioFile, type StepSpec, scenarioJsonSchema } from './run/schema.ts';
