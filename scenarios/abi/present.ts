import { type ContractArea, radixNumbersOf } from '../../kernel/abi/contract.ts';
import { contractsOf, RELEASES, type Release, UNRELEASED } from '../../kernel/release.ts';
import { PAGE_SIZES } from '../../machine/index.ts';
import type { Change } from './change.ts';
import type { CheckResult } from './check.ts';
import { wrap } from './present-show.ts';
import { allContracts } from './subject.ts';

const WIDTH = 80;

/** What `abi list` tells, as JSON. */
export interface AbiList {
  readonly releases: readonly {
    readonly name: string;
    readonly status: string;
    readonly summary: string;
    readonly strings: readonly (string | number)[];
    readonly contracts: Readonly<Record<string, string>>;
  }[];
  readonly contracts: readonly {
    readonly name: string;
    readonly area: string;
    readonly title: string;
    readonly compatible: string | number | null;
    readonly versionedBy: string;
    readonly releases: readonly string[];
  }[];
}

export function abiList(): AbiList {
  const all = [...RELEASES, ...UNRELEASED];
  return {
    releases: all.map((release) => ({
      name: release.name,
      status: release.status,
      summary: release.summary,
      strings: contractsOf(release).flatMap(({ compatible }) => compatible ?? []),
      contracts: Object.fromEntries(contractsOf(release).map((contract) => [contract.area, contract.name])),
    })),
    contracts: allContracts().map((contract) => ({
      name: contract.name,
      area: contract.area,
      title: contract.title,
      compatible: contract.compatible ?? null,
      versionedBy: contract.versionedBy,
      releases: all.filter((release) => contractsOf(release).includes(contract)).map((release) => release.name),
    })),
  };
}

/** Releases with what they speak, then the contracts. */
export function presentList(): string {
  const lines = ['Releases', ''];
  for (const release of [...RELEASES, ...UNRELEASED]) {
    const status = release.status === 'released' ? '' : ` (${release.status})`;
    const strings = contractsOf(release).flatMap(({ compatible, area }) =>
      compatible === undefined || area === 'memblock' || area === 'reserve-mem' ? [] : [text(compatible, area)],
    );
    lines.push(`  ${release.name}${status}: ${mapText(release)}`);
    for (const line of wrap(release.summary, WIDTH - 6)) lines.push(`      ${line}`);
    for (const line of wrap(strings.join(', '), WIDTH - 6)) lines.push(`      ${line}`);
  }
  lines.push('', 'Contracts, and the string that must change with them', '');
  const { contracts } = abiList();
  const width = Math.max(...contracts.map(({ name }) => name.length));
  for (const { name, compatible, versionedBy, title, area } of contracts) {
    const string = compatible === null ? `that of ${versionedBy}` : text(compatible, area as ContractArea);
    lines.push(`  ${name.padEnd(width)}  ${title.padEnd(33)}${string}`);
  }
  return `${lines.join('\n')}\n`;
}

function text(compatible: string | number, area: ContractArea): string {
  return typeof compatible === 'number' ? `${area} version ${compatible}` : compatible;
}

function mapText({ map }: Release): string {
  if (map.format === 'radix-tree') {
    return `radix tree, depth ${PAGE_SIZES.map((page) => radixNumbersOf(map, page).depth).join('/')} at ${PAGE_SIZES.map((page) => page.name).join('/')}`;
  }
  return `chunk list, bitmaps of ${map.bitmap.sizeBytes === 'PAGE_SIZE' ? 'a page' : `${map.bitmap.sizeBytes} bytes`}`;
}

/** One change in two or three lines. */
function changeLines(change: Change): string[] {
  const mark = change.kind === 'bumped' ? '^' : change.breaking ? '!' : '.';
  const pages = change.pageSizes === undefined ? '' : ` [${change.pageSizes.join(', ')} only]`;
  const where = change.where === undefined ? '' : `  (${change.where})`;
  const lines = [`  ${mark} ${change.kind.padEnd(9)} ${change.path}${pages}${where}`];
  if (change.from !== null || change.to !== null) {
    lines.push(
      ...wrap(`${change.from ?? '(nothing)'} -> ${change.to ?? '(nothing)'}`, WIDTH - 14).map(
        (line) => `              ${line}`,
      ),
    );
  }
  lines.push(...wrap(change.why, WIDTH - 14).map((line) => `              ${line}`));
  return lines;
}

/** All changes, breaking ones first. */
export function presentDiff(
  before: string,
  after: string,
  changes: readonly Change[],
  notes: readonly string[],
): string {
  const lines = [`${before} -> ${after}`, ''];
  for (const note of notes) lines.push(...wrap(`Note: ${note}.`, WIDTH), '');
  if (changes.length === 0) lines.push('Nothing differs.');
  else lines.push('! breaks   ^ version string   . reaches no reader', '');
  for (const change of changes) lines.push(...changeLines(change));
  return `${lines.join('\n').trimEnd()}\n`;
}

const VERDICTS: Readonly<Record<CheckResult['verdict'], string>> = {
  compatible: 'COMPATIBLE: kernels on both sides understand each other.',
  breaking:
    'BREAKING, AND SAID SO: bytes moved, and each string that covers them changed. Kernels refuse each other and boot cold.',
  'breaking-without-bump':
    'BREAKING WITHOUT BUMP: bytes moved under a string that stayed. Kernels accept what they misread.',
  'bump-without-change':
    'BUMP WITHOUT CHANGE: a string changed, and nothing that it covered moved. Kernels refuse what they could read.',
};

/** The verdict, what it rests on, and what would be lost. */
export function presentCheck(result: CheckResult): string {
  const lines = [`${result.before} -> ${result.after}`, '', ...wrap(VERDICTS[result.verdict], WIDTH), ''];
  for (const note of result.notes) lines.push(...wrap(`Note: ${note}.`, WIDTH), '');
  const told = result.strings.filter(({ verdict }) => verdict !== 'compatible');
  if (told.length > 0) lines.push('Version strings', '');
  for (const { from, to, verdict, why } of told) {
    lines.push(
      `  ${from}${to === from ? ' (unchanged)' : ` -> ${to ?? '(none)'}`}: ${verdict}`,
      ...wrap(why, WIDTH - 6).map((line) => `      ${line}`),
    );
  }
  if (told.length > 0) lines.push('');
  const shown = result.changes.filter((change) => change.breaking || change.kind !== 'reworded');
  const quiet = result.changes.length - shown.length;
  if (shown.length > 0) lines.push('Changes   ! breaks   ^ version string   . reaches no reader', '');
  for (const change of shown) lines.push(...changeLines(change));
  if (quiet > 0) lines.push('', `${quiet} more in words or formulas alone, with the same bytes at every page size.`);
  lines.push('', ...proofLines(result), ...goldenLines(result));
  return `${lines.join('\n').trimEnd()}\n`;
}

function proofLines({ proof, atStake }: CheckResult): string[] {
  if (proof.notRun !== undefined) return [`HANDOVERS NOT RUN: ${proof.notRun}.`, ''];
  const lines = ['Handovers, both ways', ''];
  for (const run of proof.runs) {
    const lost = `${run.pagesLost} pages lost, ${run.pagesPhantom} phantom`;
    lines.push(
      `  ${`${run.pageSize / 1024}K`.padEnd(4)}${run.old} -> ${run.new}: ${run.outcome} (${run.workload}; ${lost})`,
    );
    const clients = run.clientsBroken.length === 0 ? '' : `broken: ${run.clientsBroken.join(', ')}. `;
    for (const line of wrap(`${clients}${run.detail}`, WIDTH - 8)) lines.push(`        ${line}`);
  }
  for (const reason of proof.notExercised ?? []) {
    lines.push(...wrap(`not exercised: ${reason}`, WIDTH - 8).map((line) => `        ${line}`));
  }
  return [...lines, '', `At stake: ${atStake.pages} pages, ${atStake.bytes} bytes.`, ''];
}

function goldenLines({ golden }: CheckResult): string[] {
  if (golden.length === 0) return [];
  const count = (status: string) => golden.filter((result) => result.status === status).length;
  const lines = [
    `Golden files: ${count('same')} as recorded, ${count('moved')} moved, ${count('recorded')} recorded now`,
  ];
  for (const result of golden.filter(({ status }) => status === 'moved')) {
    lines.push(`  ${result.contract} (${result.file})`);
    for (const difference of result.differences) {
      lines.push(...wrap(difference, WIDTH - 6).map((line, i) => (i === 0 ? `    ${line}` : `      ${line}`)));
    }
  }
  return lines;
}
