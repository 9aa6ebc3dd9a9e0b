import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';

/** Where Debian puts Chromium. */
const CHROMIUM = '/usr/bin/chromium';

/** Whether reports can be opened in a real browser here. */
export const hasChromium = existsSync(CHROMIUM);

/** Starts Chromium without anything that goes to the network by itself. */
export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
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
}

/** A page opened from disk, and what it should not do. */
export interface OpenedReport {
  readonly page: Page;
  /** Console messages, errors, and requests other than for the file itself. */
  readonly complaints: string[];
}

/** Opens a report from disk. */
export async function openReport(browser: Browser, file: string): Promise<OpenedReport> {
  const page = await browser.newPage({ viewport: { width: 1200, height: 900 }, colorScheme: 'light' });
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('request', (request) => {
    if (request.url() !== `file://${file}` && !request.url().startsWith('data:'))
      complaints.push(`asks for ${request.url()}`);
  });
  await page.goto(`file://${file}`);
  return { page, complaints };
}
