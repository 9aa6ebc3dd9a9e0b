import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RELEASES } from '../../../kernel/index.ts';
import { PAGE_4K } from '../../../machine/index.ts';
import { inspectImage } from '../../../scenarios/inspect/inspect.ts';
import { runMatrix } from '../../../scenarios/matrix/matrix.ts';
import { imageView } from '../../../scenarios/observe/image-view.ts';
import { LOOKS } from '../../../scenarios/report/client/palette.ts';
import { Player } from '../../../scenarios/report/client/player.ts';
import { compareReport } from '../../../scenarios/report/compare-report.ts';
import { viewReport } from '../../../scenarios/report/html.ts';
import { matrixReport } from '../../../scenarios/report/matrix-report.ts';
import { loadFixture, patched } from '../inspect/sparse-image.ts';
import { hasChromium, launch, type OpenedReport, openReport } from './browser.ts';
import { COMPARISON } from './comparison.ts';
import { recorded } from './recorded.ts';

const NAME = hasChromium
  ? 'reports in Chromium'
  : 'reports in Chromium: SKIPPED, there is no /usr/bin/chromium (apt-get install chromium)';

/** What the page shows of a frame, to be compared with the run's own data. */
async function shown(page: Page): Promise<Record<string, unknown>> {
  const text = (id: string) => page.locator(`#${id}`).textContent();
  const pages = await page
    .locator('.legend-entry')
    .evaluateAll((all) =>
      Object.fromEntries(all.map((each) => [each.getAttribute('data-kind'), Number(each.getAttribute('data-pages'))])),
    );
  return {
    title: await text('frame-title'),
    result: await text('frame-result'),
    control: JSON.parse((await text('control-state')) ?? ''),
    pages,
  };
}

function wanted(player: Player): Record<string, unknown> {
  const { states } = player.view.memory;
  const pages: Record<string, number> = Object.fromEntries(Object.keys(LOOKS).map((kind) => [kind, 0]));
  const runs = player.runsAt(player.index);
  for (const [i, state] of runs.states.entries()) {
    const kind = states[state]?.kind ?? 'free';
    pages[kind] = (pages[kind] ?? 0) + (runs.starts[i + 1] ?? runs.nrSlots) - (runs.starts[i] ?? 0);
  }
  const { title, result } = player.frame;
  return { title, result, control: JSON.parse(JSON.stringify(player.control)), pages };
}

/** Starting a browser takes its time on a machine that does other things too. */
const PATIENCE = 60_000;

describe.skipIf(!hasChromium)(NAME, { timeout: PATIENCE }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'khosim-report-'));
  let browser: Browser;
  const file = (name: string, html: string): string => {
    const path = join(folder, name);
    writeFileSync(path, html);
    return path;
  };
  const strayWrite = recorded('stray-write', PAGE_4K);
  const sessions = recorded('sessions', PAGE_4K);
  const run = file(
    'run.html',
    viewReport({ schema: 1, kind: 'run', version: '0', views: [strayWrite.view, sessions.view] }),
  );
  const image = imageView(
    inspectImage(patched(loadFixture('linux-7.3.4-arm64-4k'), [])),
    'a real image',
    'khosim inspect image.json',
  );
  const inspect = file('inspect.html', viewReport({ schema: 1, kind: 'inspect', version: '0', views: [image] }));
  const compare = file('compare.html', compareReport(COMPARISON));

  /** Each report is opened once: what a test does in it must not matter to the next. */
  const opened = new Map<string, Promise<OpenedReport>>();
  const open = (path: string): Promise<OpenedReport> => {
    const report = opened.get(path) ?? openReport(browser, path);
    opened.set(path, report);
    return report;
  };

  beforeAll(async () => {
    browser = await launch();
  }, PATIENCE);
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  }, PATIENCE);

  test('a run plays to its end and back, and shows at each step what the run’s data says', async () => {
    const { page, complaints } = await open(run);
    await page.selectOption('#view', '1');
    const player = new Player(sessions.view);
    const last = sessions.view.frames.length - 1;
    expect(await shown(page)).toEqual(wanted(player));
    await page.focus('#time');
    await page.keyboard.press('End');
    player.goTo(last);
    expect(await shown(page)).toEqual(wanted(player));
    for (let i = last - 1; i >= 0; i--) {
      await page.keyboard.press('ArrowLeft');
      player.goTo(i);
      expect(await shown(page)).toEqual(wanted(player));
    }
    expect(complaints).toEqual([]);
  });

  test('totals and verdict are the run’s', async () => {
    const { page } = await open(run);
    await page.selectOption('#view', '0');
    const { result } = strayWrite;
    expect(await page.locator('#verdict-text').textContent()).toContain(result.verdict);
    for (const name of ['preserved', 'restored', 'damaged', 'lost', 'leaked'] as const) {
      expect(await page.locator(`[data-total=${name}] b`).textContent()).toBe(String(result[name].pages));
    }
  });

  test('a damaged page leads to the event that damaged it', async () => {
    const { page, complaints } = await open(run);
    await page.selectOption('#view', '0');
    await page.click('#first-bad');
    const bad = strayWrite.view.frames.flatMap((frame) => frame.bad)[0];
    if (bad === undefined) throw new Error('the scenario damages a page');
    expect(await page.locator('#page-address').textContent()).toBe(`0x${(bad.pfn * 4096).toString(16)}`);
    expect(await page.locator('#page-state').textContent()).toContain('damaged');
    expect(await page.locator('#changes').textContent()).toContain(bad.text);
    expect(bad.text).toContain('a stray write');
    // Its history leads back to when it was preserved.
    await page.click('.page-panel button[data-frame="1"]');
    expect(await page.locator('#frame-number').textContent()).toContain('1 of');
    expect(await page.locator('#page-state').textContent()).toContain('preserved');
    expect(complaints).toEqual([]);
  });

  test('a page is found by its address, with its owner, key and way through the tree', async () => {
    const { page, complaints } = await open(inspect);
    await page.fill('#find', '0x40950123');
    await page.keyboard.press('Enter');
    expect(await page.locator('#page-address').textContent()).toBe('0x40950000');
    expect(await page.locator('#page-state').textContent()).toContain('the root FDT');
    expect(await page.locator('#page-key-value').textContent()).toBe(`0x${(2n ** 52n + 0x40950n).toString(16)}`);
    expect(await page.locator('.node.marked').count()).toBe(6);
    await page.fill('#find', '0x10');
    await page.keyboard.press('Enter');
    expect(await page.locator('#find-message').textContent()).toBe('not RAM');
    expect(complaints).toEqual([]);
  });

  test('the strip is used by keys alone', async () => {
    const { page } = await open(inspect);
    await page.fill('#find', '0x40950000');
    await page.keyboard.press('Enter');
    await page.focus('#strip');
    await page.keyboard.press('+');
    await page.keyboard.press('+');
    await page.keyboard.press('ArrowRight');
    expect(await page.locator('#page-address').textContent()).toBe('0x40951000');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('ArrowLeft');
    expect(await page.locator('#page-address').textContent()).toBe('0x4094f000');
    expect(await page.locator('#page-state').textContent()).toContain('radix table, level 5');
    expect(await page.locator('#in-view').textContent()).not.toContain('512 MiB');
    await page.keyboard.press('Home');
    expect(await page.locator('#in-view').textContent()).toContain('512 MiB');
    const outline = await page.evaluate<string>("getComputedStyle(document.getElementById('strip')).outlineStyle");
    expect(outline).toBe('solid');
  });

  test('a matrix tells of each cell why, and how to run it', async () => {
    const releases = RELEASES.filter((release) => release.name === '6.18' || release.name === '7.3');
    const document = runMatrix({ releases, pageSizes: [PAGE_4K], workload: 'core', crossPageSize: false, seed: 1 });
    const { page, complaints } = await open(file('matrix.html', matrixReport(document, 1)));
    for (const [i, cell] of document.cells.entries()) {
      await page.click(`[data-cell="${i}"]`);
      expect(await page.locator('#cell-details .cell-outcome').textContent()).toBe(cell.outcome);
      const details = await page.locator('#cell-details').textContent();
      expect(details).toContain(cell.detail);
      expect(details).toContain('khosim matrix --releases');
    }
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Enter');
    expect(await page.locator('#cell-details .cell-title').textContent()).toBe('Linux 6.18 → Linux 7.3');
    expect(complaints).toEqual([]);
  });

  test.each([
    ['run', run],
    ['inspect', inspect],
    ['compare', compare],
  ])('%s: dark when the system is, or the switch says so; 400 px are wide enough', async (_, path) => {
    const { page, complaints } = await open(path);
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.setViewportSize({ width: 400, height: 900 });
    const background = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
    expect(await background()).toBe('rgb(18, 22, 26)');
    await page.click('#theme');
    expect(await background()).toBe('rgb(255, 255, 255)');
    expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(400);
    await page.click('#theme');
    expect(await background()).toBe('rgb(18, 22, 26)');
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize({ width: 1200, height: 900 });
    expect(complaints).toEqual([]);
  });

  test('a comparison shows every value, and a line and a dot for each page size', async () => {
    const { page } = await open(compare);
    for (const row of COMPARISON.rows) {
      const values = await page
        .locator(`tr[data-id="${row.id}"] td[data-value]`)
        .evaluateAll((cells) => cells.map((cell) => Number(cell.getAttribute('data-value'))));
      expect(values).toEqual(COMPARISON.columns.map((column) => row.values[column]));
    }
    expect(await page.locator('#crossover-plot path.curve').count()).toBe(2 * COMPARISON.columns.length);
    expect(await page.locator('#crossover-plot circle.dot').count()).toBe(COMPARISON.columns.length);
  });
});
