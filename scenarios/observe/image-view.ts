import type { ForeignBank } from '../inspect/bounded-reader.ts';
import type { InspectResult } from '../inspect/inspect.ts';
import type { BankView, ImageView } from '../report/client/model.ts';
import { diffRuns, emptyRuns, nrSlotsOf, rankOf } from '../report/client/runs.ts';
import { badPages, handoverView, paintHandover } from './handover-view.ts';
import { coarsen, Layer, Painter, StateNumbers } from './painter.ts';

/** Runs of a frame at most: what keeps a report of a large machine small. */
export const MAX_FRAME_RUNS = 60_000;

/** Banks in whole pages. */
export function bankViews(banks: readonly ForeignBank[], pageBytes: number): BankView[] {
  return banks.map(({ base, sizeBytes, nid }) => ({
    pfn: Math.floor(base / pageBytes),
    nrPages: Math.ceil(sizeBytes / pageBytes),
    nid: nid ?? 0,
  }));
}

/**
 * A memory image that was inspected, as a report shows it.
 * @param command what prints the same in a terminal.
 */
export function imageView(result: InspectResult, title: string, command: string): ImageView {
  const { page, reader, document } = result;
  const banks = bankViews(reader.memory.banks, page.sizeBytes);
  const numbers = new StateNumbers();
  const painter = new Painter(banks);
  paintHandover(result, painter, numbers);
  const bad = badPages(result);
  const wrong = new Layer();
  for (const { pfn, text } of bad) {
    wrong.add(pfn, 1, numbers.numberOf({ kind: 'damaged', order: -1, owner: text, writer: '' }));
  }
  painter.paint(wrong);
  const { runs, grainPages } = coarsen(painter.runs, MAX_FRAME_RUNS, (state) => rankOf(numbers.states[state]));
  const { memoryMap, preserved } = document;
  const scratchPages = result.scratch.reduce((sum, area) => sum + area.sizeBytes, 0) / page.sizeBytes;
  return {
    kind: 'image',
    title,
    command,
    memory: { pageShift: page.shift, banks, states: numbers.states },
    frames: [
      {
        phase: 'image',
        title: 'the image',
        result: document.findings.some((finding) => finding.severity === 'error') ? 'errors' : 'good',
        ok: bad.length === 0,
        line: 0,
        kernel: 0,
        microseconds: 0,
        runs: diffRuns(emptyRuns(nrSlotsOf(banks)), runs),
        grainPages,
        written: { nrPages: 0, ranges: [] },
        control: { kind: 'state', state: null },
        logLines: 0,
        map:
          memoryMap?.kind === 'radix-tree'
            ? {
                nodesPerLevel: Array.from(
                  { length: memoryMap.depth },
                  (_, i) => memoryMap.nodesPerLevel[String(i)] ?? 0,
                ),
                nrBlocks: preserved.count,
                nrPages: Number(preserved.bytes) / page.sizeBytes,
              }
            : null,
        scratchUsedPages: scratchPages,
        bad: bad.map(({ pfn, text }) => ({ kind: 'damaged', pfn, text })),
      },
    ],
    handovers: [handoverView(result, 'the image', 0)],
  };
}
