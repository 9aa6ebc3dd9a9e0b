#!/usr/bin/env node
// Makes the README's pictures of reports: `node scripts/screenshots.mjs` after `npm run build`, with Chromium installed.
// Each report is written by the command that a reader would use, opened from disk, and shown at one telling place.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const images = join(root, 'docs/images');
const folder = mkdtempSync(join(tmpdir(), 'khosim-screenshots-'));

const SHOTS = [
  {
    name: 'report-run',
    args: ['run', 'stray-write', '--page-size', '4K', '--seed', '1'],
    // A damaged page: when it was preserved, who wrote it, its key.
    show: async (page) => {
      await page.click('#first-bad');
      await page.locator('#time-travel').evaluate((element) => element.scrollIntoView());
    },
  },
  {
    name: 'report-inspect',
    args: ['inspect', join(root, 'test/fixtures/linux-7.3.4-arm64-4k/image.json')],
    dark: true,
    show: async (page) => {
      await page.fill('#find', '0x40a02000');
      await page.keyboard.press('Enter');
      for (let i = 0; i < 5; i++) await page.click('#zoom-out');
      await page.locator('#memory').evaluate((element) => element.scrollIntoView());
    },
  },
  {
    name: 'report-compare',
    args: ['compare', '--workload', 'vm-host'],
    show: (page) => page.locator('#crossover').evaluate((element) => element.scrollIntoView()),
  },
  {
    name: 'report-matrix',
    args: ['matrix', '--workload', 'core'],
    show: (page) => page.locator('button.cell.corrupt').first().click(),
  },
];

/** Runs a command of khosim; a finding or a failed check is not the pictures' concern. */
function khosim(args) {
  try {
    execFileSync(process.execPath, [join(root, 'dist/scenarios/cli/main.js'), ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    return true;
  } catch (error) {
    return error.status === 1;
  }
}

mkdirSync(images, { recursive: true });
const wanted = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
try {
  for (const { name, args, dark, show } of SHOTS) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const file = join(folder, `${name}.html`);
    if (!khosim([...args, '--report', file, '--quiet'])) {
      process.stderr.write(`${name}: khosim ${args[0]} failed, no picture\n`);
      process.exitCode = 1;
      continue;
    }
    const page = await browser.newPage({
      viewport: { width: 1100, height: 860 },
      colorScheme: dark ? 'dark' : 'light',
    });
    await page.goto(`file://${file}`);
    await show(page);
    await page.waitForTimeout(200);
    await page.screenshot({ path: join(images, `${name}.png`) });
    await page.close();
  }
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
