import { PAGE_4K } from '../../machine/page-size.ts';
import { InputError } from '../input-error.ts';
import { explainFinding, explainPage, formatPageExplanation } from '../inspect/explain.ts';
import { FINDING_CODES, type FindingCode } from '../inspect/finding-codes.ts';
import { formatInspect } from '../inspect/format.ts';
import { debugfsImage, handoverInMemory } from '../inspect/image-source.ts';
import { type InspectOptions, type InspectResult, inspectImage } from '../inspect/inspect.ts';
import { openCapturedMemory } from '../io/captured-memory.ts';
import { findDebugfsDirectory, readDebugfsHandover } from '../io/debugfs-dir.ts';
import { imageOptionsOf } from '../io/image-options.ts';
import { imageView } from '../observe/image-view.ts';
import { formatPageHistory, PageHistory } from '../observe/page-history.ts';
import { packageVersion } from '../package-root.ts';
import { wrap } from '../picture/wrap.ts';
import { viewReport } from '../report/html.ts';
import { writeOutput } from '../report/write.ts';
import type { RunObserver } from '../run/observer.ts';
import type { CommandContext, CommandRun } from './command.ts';
import { EXIT_FAILED, EXIT_OK, type OptionValues } from './options.ts';

/** Opens an image (or a debugfs directory), inspects it, and closes it. What was guessed goes to stderr. */
function inspectPath<T>(
  path: string,
  options: OptionValues,
  context: CommandContext,
  what: InspectOptions,
  use: (result: InspectResult) => T,
): T {
  const imageOptions = imageOptionsOf(options);
  if (isDebugfs(path)) {
    return use(inspectImage(debugfsImage(readDebugfsHandover(path), imageOptions.page?.sizeBytes), what));
  }
  const captured = openCapturedMemory(path, imageOptions);
  try {
    if (!context.quiet) for (const note of captured.notes) context.terminal.stderr(`${path}: ${note}\n`);
    return use(inspectImage(captured.handover, what));
  } finally {
    captured.close();
  }
}

/** A directory with blobs and no image beside them. */
function isDebugfs(path: string): boolean {
  return findDebugfsDirectory(path) !== undefined;
}

/** As `inspectPath`, for an image or for what a scenario leaves at its last jump. */
async function inspectSubject<T>(
  subject: string,
  options: OptionValues,
  context: CommandContext,
  use: (result: InspectResult) => T,
  observer?: RunObserver,
): Promise<T> {
  const { findScenario, libraryNames } = await import('../run/library.ts');
  if (!/\.ya?ml$/i.test(subject) && !libraryNames().includes(subject)) {
    return inspectPath(subject, options, context, {}, use);
  }
  const { runScenario } = await import('../run/runner.ts');
  const scenario = findScenario(subject);
  const page = options.pageSize() ?? scenario.pageSizes[0] ?? PAGE_4K;
  let found: { readonly value: T } | undefined;
  runScenario(scenario, {
    page,
    seed: context.seed,
    sink: context.logSink,
    observer,
    // The next kernel goes on in the same RAM: each jump is looked at when it happens, and the last one counts.
    atJump: (machine, handoff) => {
      found =
        handoff === undefined
          ? undefined
          : { value: use(inspectImage(handoverInMemory(machine.memory, machine.arch, handoff))) };
    },
  });
  if (found === undefined) {
    throw new InputError({
      message: 'has no handover at its last jump',
      file: subject,
      hint: 'there is nothing to explain',
    });
  }
  return found.value;
}

/** `khosim inspect IMAGE` */
export const inspectCommand: CommandRun = ([path = ''], options, context) =>
  inspectPath(path, options, context, { list: options.flag('list') }, (result) => {
    const { document } = result;
    const report = options.text('report');
    if (report !== undefined) writeReport(report, path, result);
    if (context.json) context.printJson(document);
    else if (!context.quiet) {
      context.terminal.stdout(formatInspect(result));
      for (const [phys, order] of document.preserved.walkOrder ?? []) {
        context.terminal.stdout(`${phys.padEnd(18)} order ${order}\n`);
      }
    }
    return document.findings.some((finding) => finding.severity === 'error') ? EXIT_FAILED : EXIT_OK;
  });

/** The report: named by the image's last folder and file, so that it says nothing of the machine that made it. */
function writeReport(file: string, path: string, result: InspectResult): void {
  const name = path
    .split(/[/\\]/)
    .filter((part) => part !== '')
    .slice(-2)
    .join('/');
  const view = imageView(result, name, `khosim inspect ${name}`);
  writeOutput(file, viewReport({ schema: 1, kind: 'inspect', version: packageVersion(), views: [view] }));
}

/** `khosim explain SUBJECT --page ADDR` and `khosim explain [SUBJECT] --finding CODE` */
export const explainCommand: CommandRun = async ([subject], options, context) => {
  const page = options.wholeNumber('page');
  const code = options.text('finding');
  if ((page === undefined) === (code === undefined)) {
    throw new InputError({ message: 'explain takes either --page ADDR or --finding CODE' });
  }
  if (code !== undefined) return explainCode(subject, code, options, context);
  if (subject === undefined) throw new InputError({ message: '--page needs an image or a scenario to look into' });
  const history = new PageHistory(page ?? 0);
  const use = (result: InspectResult) => explainPage(result, page ?? 0);
  const explanation = await inspectSubject(subject, options, context, use, history);
  // Only a scenario has a history; an image is one moment.
  const { events } = history;
  if (context.json) context.printJson({ ...explanation, ...(events.length === 0 ? {} : { history: events }) });
  else {
    context.terminal.stdout(formatPageExplanation(explanation));
    if (events.length > 0) context.terminal.stdout(formatPageHistory(page ?? 0, events));
  }
  return EXIT_OK;
};

/** What a code means, and with an image where it was found there. */
async function explainCode(
  subject: string | undefined,
  code: string,
  options: OptionValues,
  context: CommandContext,
): Promise<number> {
  const text = explainFinding(code);
  if (text === undefined) {
    const codes = Object.keys(FINDING_CODES);
    const near = codes.filter((known) => known.startsWith(code.split('-')[0] ?? ''));
    const list = wrap((near.length > 0 ? near : codes).join(', '), 80 - '  hint: such as '.length);
    throw new InputError({
      message: `there is no finding code '${code}'`,
      hint: `${near.length > 0 ? 'such as' : 'one of'} ${list.join(`\n${' '.repeat(15)}`)}`,
    });
  }
  const findings =
    subject === undefined
      ? undefined
      : await inspectSubject(subject, options, context, ({ document }) =>
          document.findings.filter((f) => f.code === code),
        );
  if (context.json) {
    const info = FINDING_CODES[code as FindingCode];
    context.printJson({ code, ...info, ...(findings === undefined ? {} : { findings }) });
    return EXIT_OK;
  }
  context.terminal.stdout(text);
  if (findings?.length === 0) context.terminal.stdout(`  ${subject} has none\n`);
  for (const { severity, where, message } of findings ?? []) {
    context.terminal.stdout(`  ${severity} at ${where}: ${message}\n`);
  }
  return EXIT_OK;
}
