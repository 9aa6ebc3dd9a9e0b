import { releaseByName } from '../../kernel/index.ts';
import { PAGE_SIZES } from '../../machine/index.ts';
import { WORKLOADS, type WorkloadName } from '../handover/workload.ts';
import { InputError } from '../input-error.ts';
import { formatMatrix } from '../matrix/format.ts';
import { MATRIX_RELEASES } from '../matrix/matrix.ts';
import { runMatrixInParallel } from '../matrix/parallel.ts';
import { writeMatrixReport } from '../report/matrix-report.ts';
import type { CommandRun } from './command.ts';
import { EXIT_OK } from './options.ts';

/** `khosim matrix`: every cell is an executed handover. A bad cell is a fact, not a failure: exit code 0. */
export const run: CommandRun = async (_args, options, context) => {
  const releases = options.text('releases')?.split(',').map(releaseNamed) ?? MATRIX_RELEASES;
  const request = {
    releases,
    pageSizes: options.pageSizes('pageSizes') ?? PAGE_SIZES,
    workload: workloadNamed(options.text('workload') ?? 'core'),
    crossPageSize: options.flag('crossPageSize'),
    seed: context.seed ?? 1,
  };
  const shard = parseShard(options.text('shard'));
  const jobs = options.wholeNumber('jobs', 1, 1024);
  const document = await runMatrixInParallel(request, {
    ...(shard === undefined ? {} : { shard }),
    ...(jobs === undefined ? {} : { jobs }),
    ...(context.terminal.interactive && !context.quiet
      ? { onProgress: (done, of) => context.terminal.stderr(done === of ? '\r\x1b[K' : `\rrow ${done} of ${of}`) }
      : {}),
  });
  const report = options.text('report');
  if (report !== undefined) writeMatrixReport(report, document, request.seed);
  if (context.json) context.printJson(document);
  else if (!context.quiet) context.terminal.stdout(formatMatrix(document));
  return EXIT_OK;
};

function releaseNamed(name: string) {
  const release = releaseByName(name.trim());
  if (release !== undefined) return release;
  throw new InputError({
    message: `--releases: there is no release '${name}'`,
    hint: `some of ${MATRIX_RELEASES.map((each) => each.name).join(',')}, kho-v2, kho-radix-rfc-v1`,
  });
}

function workloadNamed(name: string): WorkloadName {
  const found = WORKLOADS.find((each) => each === name);
  if (found !== undefined) return found;
  throw new InputError({ message: `--workload: there is no workload '${name}'`, hint: WORKLOADS.join(' or ') });
}

/** `I/N`, 1-based. @throws InputError for anything else. */
function parseShard(text: string | undefined): readonly [number, number] | undefined {
  if (text === undefined) return undefined;
  const match = /^([0-9]+)\/([0-9]+)$/.exec(text);
  const index = Number(match?.[1] ?? 0);
  const count = Number(match?.[2] ?? 0);
  if (index >= 1 && index <= count) return [index, count];
  throw new InputError({ message: `--shard: '${text}' is not I/N`, hint: 'as in --shard 1/4' });
}
