import { radixGeometry } from '../../kernel/kho/geometry.ts';
import { type Release, releaseByName } from '../../kernel/release.ts';
import { PAGE_16K, PAGE_SIZES, type PageSize } from '../../machine/index.ts';
import { type Intervals, subtract } from '../handover/intervals.ts';
import type { HandoverVerdict } from '../handover/judge.ts';
import { probeHandover } from '../handover/new-kernel.ts';
import { type OldKernel, runOldKernel } from '../handover/old-kernel.ts';
import { PROBE } from '../handover/size.ts';
import { type ReviewFacts, reviewPoints } from './review-points.ts';

const POSTED = named('kho-radix-rfc-v1');
const MERGED = named('kho-v2');
const FIXED = named('7.1');
const SEED = 1;

function named(name: string): Release {
  const release = releaseByName(name);
  if (release === undefined) throw new Error(`no release ${name}`);
  return release;
}

/** The review of the posted radix tree, with khosim's own runs as evidence: docs/review-of-the-radix-patch.md. */
export function reviewDocument(): string {
  const rows = reviewPoints(factsFromContracts()).map(({ asked, posted, merged, evidence }, i) =>
    tableRow([`${i + 1}`, asked, posted, merged, evidence === undefined ? '' : `[${evidence}](#${anchors[evidence]})`]),
  );
  return `${[
    '# The review of the radix patch',
    '',
    'In September 2025 a patch replaced the memory map of KHO, a list of chunks, by a radix tree. This is its review, point by',
    'point: what was asked, what the posted patch had (`kho-radix-rfc-v1` in khosim), and what was merged (`kho-v2` in the merge',
    'window of 7.1). Strings, names, depths and levels below come from the contracts; the evidence from handovers that khosim',
    'executed when this file was written (`npm run docs`; a test keeps it as it is).',
    '',
    tableRow(['#', 'asked for', 'posted', 'merged', 'evidence']),
    tableRow(['---', '---', '---', '---', '---']),
    ...rows,
    '',
    ...noBump(),
    '',
    ...missingBit(),
    '',
    ...oddWalk(),
  ].join('\n')}\n`;
}

const anchors: Readonly<Record<string, string>> = {
  A: 'a-without-the-bump',
  B: 'b-the-bit-that-the-depth-lacked',
  C: 'c-the-walk-that-does-not-look-right',
};

function tableRow(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function factsFromContracts(): ReviewFacts {
  return {
    postedString: `${POSTED.root.compatible}`,
    mergedString: `${MERGED.root.compatible}`,
    postedProperty: mapProperty(POSTED),
    mergedProperty: mapProperty(MERGED),
    postedDepth: depths(POSTED),
    mergedDepth: depths(MERGED),
    fixedDepth: depths(FIXED),
    postedLevels: levels(POSTED),
    mergedLevels: levels(MERGED),
  };
}

function mapProperty({ name, root }: Release): string {
  const properties = root.fdt.nodes.find(({ role }) => role === 'root')?.properties;
  const found = properties?.find(({ key }) => key === 'map');
  if (found === undefined) throw new Error(`${name} has no property for its map`);
  return found.name;
}

function geometryOf(release: Release, page: PageSize) {
  if (release.map.format !== 'radix-tree') throw new Error(`${release.name} has no tree`);
  return radixGeometry(page, release.map);
}

function depths(release: Release): string {
  return PAGE_SIZES.map((page) => `${geometryOf(release, page).depth} at ${page.name}`).join(', ');
}

function levels(release: Release): string {
  if (release.map.format !== 'radix-tree') throw new Error(`${release.name} has no tree`);
  const { leafLevel } = release.map.geometry;
  const [page] = PAGE_SIZES;
  const depth = page === undefined ? 0 : geometryOf(release, page).depth;
  return `${depth - 1 + leafLevel} to ${leafLevel} at 4K, the bitmap is level ${leafLevel}`;
}

function runRow(before: string, after: string, page: PageSize, run: HandoverVerdict): string {
  return tableRow([`${before} → ${after}`, page.name, run.outcome, `${run.pagesLost}`, run.detail]);
}

const RUN_HEAD = [
  tableRow(['old → new', 'pages', 'outcome', 'pages lost', 'what was seen']),
  tableRow(['---', '---', '---', '---', '---']),
];

function runsOf(pairs: readonly (readonly [Release, Release])[], pages: readonly PageSize[]): string[] {
  const rows = pages.flatMap((page) =>
    pairs.map(([before, after]) => runRow(before.name, after.name, page, probeHandover(before, after, page, 'core'))),
  );
  return [...RUN_HEAD, ...rows];
}

function noBump(): string[] {
  const readers = ['6.18', '6.19'].map(named);
  return [
    '## A: without the bump',
    '',
    `Both sides say \`${POSTED.root.compatible}\`, so neither refuses the other. A reader that does not find its property has no map, and up to`,
    '6.18 it goes on after one line in its log: the tree is not read as a list of chunks, but every page is lost, while clients',
    'are told that this is a handover. 6.19 looks for the map before it accepts one, so it boots cold; that is its own check,',
    'not the version. With the bump that was merged every pair is a cold boot with the reason.',
    '',
    ...runsOf([...readers.map((reader) => [POSTED, reader] as const), [named('6.18'), POSTED]], PAGE_SIZES),
    ...runsOf([[MERGED, named('6.18')]], PAGE_SIZES).slice(RUN_HEAD.length),
  ];
}

function missingBit(): string[] {
  const geometry = geometryOf(MERGED, PAGE_16K);
  const { depth, bitmapLog2, tableLog2, keyWidth } = geometry;
  const bits = bitmapLog2 + (depth - 1) * tableLog2;
  const rows = [POSTED, MERGED, FIXED].map((release) => {
    const old = runOldKernel(release, PAGE_16K, 'core', SEED, PROBE);
    if ('verdict' in old) return tableRow([release.name, '', old.verdict.detail]);
    return tableRow([release.name, `${geometryOf(release, PAGE_16K).depth}`, missing(old)]);
  });
  return [
    '## B: the bit that the depth lacked',
    '',
    `At 16K a key has ${keyWidth} bits. ${depth} levels, as merged, hold ${bitmapLog2} + ${depth - 1} × ${tableLog2} = ${bits}: the highest, bit ${keyWidth - 1}, is the marker of`,
    'order 0. Without it such a key is read back as a block of some other order. The old kernel alone shows it, asked what is in',
    'its own tree after it preserved folios of every order and ranges:',
    '',
    tableRow(['release', 'depth at 16K', 'preserved blocks that its tree does not give back']),
    tableRow(['---', '---', '---']),
    ...rows,
    '',
    'The same when a kernel takes over, from itself and between the two depths, which share a string:',
    '',
    ...runsOf(
      [
        [MERGED, MERGED],
        [named('7.1-rc5'), FIXED],
        [FIXED, named('7.1-rc5')],
        [FIXED, FIXED],
      ],
      [PAGE_16K],
    ),
  ];
}

/** Which of the preserved blocks are not in the map as the kernel reads it, by order. */
function missing(old: OldKernel): string {
  const { handed, recorded, oldPageBytes } = old.left;
  const counts = new Map<string, [gone: number, of: number]>();
  for (const { pfn, nrPages, folioOrder } of handed.ranges) {
    const block: Intervals = [[pfn * oldPageBytes, (pfn + nrPages) * oldPageBytes]];
    const kind = folioOrder === undefined ? 'ranges' : `order ${folioOrder}`;
    const count = counts.get(kind) ?? [0, 0];
    counts.set(kind, [count[0] + (subtract(block, recorded).length > 0 ? 1 : 0), count[1] + 1]);
  }
  const gone = [...counts].filter(([, [lost]]) => lost > 0).map(([kind, [lost, of]]) => `${kind}: ${lost} of ${of}`);
  return gone.length === 0 ? `none of ${handed.ranges.length}` : gone.join(', ');
}

function oddWalk(): string[] {
  return [
    '## C: the walk that does not look right',
    '',
    'The posted walk hands an unshifted offset down and shifts it at every level. khosim runs it as posted: at every page size',
    'a kernel with the posted patch takes over from itself and restores each block with its order and content.',
    '',
    ...runsOf([[POSTED, POSTED]], PAGE_SIZES),
    '',
    'So the question was answered truly on the list, and the code was rewritten all the same, because a reader could not see it.',
  ];
}
