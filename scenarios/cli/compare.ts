import { PAGE_SIZES, type PageSize } from '../../machine/index.ts';
import { compareWorkload } from '../compare/compare.ts';
import { formatCompare } from '../compare/format.ts';
import { DEFAULT_WORKLOAD, findWorkload, type Workload } from '../compare/workloads.ts';
import { writeCompareReport } from '../report/compare-report.ts';
import type { CommandRun } from './command.ts';
import { EXIT_FAILED, EXIT_OK, type OptionValues } from './options.ts';
import { progressBar } from './progress.ts';

/** `khosim compare`: exit code 1 when the workload comes through at no page size. */
export const compareCommand: CommandRun = (_args, options, context) => {
  const report = options.text('report');
  const workload = findWorkload(options.text('workload') ?? DEFAULT_WORKLOAD);
  const pages = pagesOf(options, workload);
  const progress = progressBar(context, 3 * pages.length);
  try {
    const result = compareWorkload(workload, pages, {
      seed: context.seed,
      onProgress: (done) => progress.update(done),
    });
    progress.stop();
    if (report !== undefined) writeCompareReport(report, result);
    if (context.json) context.printJson(result);
    else if (!context.quiet) context.terminal.stdout(formatCompare(result));
    const works = result.details.length === 0 || result.details.some((column) => column.outcome === 'handover');
    return works ? EXIT_OK : EXIT_FAILED;
  } finally {
    progress.stop();
  }
};

/** The page sizes asked for; without any those that the scenario names, where it names some. */
function pagesOf(options: OptionValues, workload: Workload): readonly PageSize[] {
  const asked = options.pageSizes('pageSizes');
  if (asked !== undefined) return [...new Set(asked)];
  if (workload.kind !== 'scenario') return PAGE_SIZES;
  return workload.scenario.pageSizes;
}
