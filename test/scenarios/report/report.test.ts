import { describe, expect, test } from 'vitest';
import { PAGE_16K } from '../../../machine/index.ts';
import { RunRecorder } from '../../../scenarios/observe/run-recorder.ts';
import { clientScript } from '../../../scenarios/report/bundle.ts';
import { viewReport } from '../../../scenarios/report/html.ts';
import { libraryScenario } from '../../../scenarios/run/library.ts';
import { parseScenario } from '../../../scenarios/run/load.ts';
import { runScenario, runScenarioAtLength } from '../../../scenarios/run/runner.ts';
import { recorded } from './recorded.ts';

const LARGE = `
name: a large machine, whose memory is preserved page by page, all over it
machine: { pageSize: 4K, memory: 16G }
kernel: { release: "7.3", cmdline: "kho=on kho_scratch=64M,64M,64M" }
steps:
  - preserve pages: { size: 1G, as: guest }
  - preserve folios: { order: 0, count: 5000, scatter: true, as: pages }
  - kexec
expect: { intact: [pages, guest] }
`;

describe('the report of a run', () => {
  const small = recorded('default', PAGE_16K);
  const html = (views: Parameters<typeof viewReport>[0]['views']) =>
    viewReport({ schema: 1, kind: 'run', version: '0', views });

  test('of the default scenario is under 500 KB, and one of a 16 GiB machine under 3 MB', () => {
    expect(html([small.view]).length).toBeLessThan(500_000);
    const scenario = parseScenario(LARGE, 'large.yaml');
    const page = scenario.pageSizes[0];
    if (page === undefined) throw new Error('the scenario names a page size');
    const recorder = new RunRecorder();
    const { result, state } = runScenarioAtLength(scenario, { page, observer: recorder });
    const view = recorder.view(state, result);
    expect(result.ok).toBe(true);
    expect(view.frames.every((frame) => frame.grainPages === 1)).toBe(true);
    expect(html([view]).length).toBeLessThan(3_000_000);
  });

  test('is the same each time, and recording changes nothing of the run', () => {
    const first = recorded('stray-write', PAGE_16K);
    expect(html([first.again()])).toBe(html([first.view]));
    const unobserved = runScenario(libraryScenario('stray-write'), { page: PAGE_16K });
    expect(unobserved.digest).toBe(first.result.digest);
  });

  test('names no folder, and loads nothing', () => {
    const text = html([small.view]);
    expect(text).not.toContain(process.cwd());
    expect(text).not.toMatch(/\b(?:src|href)="(?!#|data:)/);
    expect(text.match(/https?:\/\/[^"'\s]+/g)).toEqual(['http://www.w3.org/2000/svg']);
    expect(text).toContain("default-src 'none'");
  });

  test('has a frame for each step, and one each for a jump and for the boot after it', () => {
    const { view, result } = small;
    const kexecs = result.steps.filter((step) => step.text === 'kexec').length;
    expect(view.frames).toHaveLength(1 + result.steps.length + 2 * kexecs);
    expect(view.frames.filter((frame) => frame.phase === 'jump')).toHaveLength(kexecs);
    expect(view.handovers.map((handover) => view.frames[handover.frame]?.phase)).toEqual(
      new Array(kexecs).fill('jump'),
    );
  });
});

describe('the page’s script', () => {
  test('is one text without imports, that parses', () => {
    const script = clientScript();
    expect(script).not.toMatch(/^(?:import|export)\b/m);
    expect(() => new Function(script)).not.toThrow();
  });
});
