import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { runCommandLine } from '../../../scenarios/cli/program.ts';
import { type CapturedImage, captureImage, writeImage } from '../../../scenarios/run/export.ts';
import { libraryScenario } from '../../../scenarios/run/library.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';

/** Scenarios whose images take seconds to pack and to read: for the long tests. */
export const LARGE: readonly string[] = [
  'block-larger-than-ram',
  'default',
  'deferred-init',
  'gigantic-folio',
  'lost-reservations',
  'numa-restore',
  'quadratic-retrieval',
  'vmalloc',
];

/** Runs the command line in this process. */
export async function khosim(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await runCommandLine(argv, {
    stdout: (text) => {
      out += text;
    },
    stderr: (text) => {
      err += text;
    },
    interactive: false,
    env: {},
  });
  return { code, out, err };
}

interface Inspected {
  readonly preserved: { readonly count: number };
  readonly findings: readonly { readonly severity: string; readonly code: string }[];
}

interface Booted {
  readonly outcome: string;
  readonly log: readonly string[];
}

/** Exports a scenario's image, and has inspect and boot say what the run says. */
export async function expectAgreement(name: string): Promise<void> {
  const scenario = libraryScenario(name);
  const [page] = scenario.pageSizes;
  if (page === undefined) throw new Error('a scenario has a page size');
  let image: CapturedImage | undefined;
  const run = runScenario(scenario, {
    page,
    atLastJump: (machine, handoff) => {
      image = captureImage(machine, handoff);
    },
  });
  const last = run.kernels.at(-1);
  if (image === undefined || last === undefined) {
    // A run that never jumped, whose last jump was refused, or whose kernels had KHO off and passed no handoff on.
    expect(['oops', 'refused', 'cold-boot']).toContain(run.outcome);
    return;
  }
  const expected = image.expected as Inspected;
  // A kernel reads on from where a pointer leads that is not at a page; inspect stops there and says so.
  const misaligned = expected.findings.some(({ code }) => code === 'radix-node-alignment');
  // What never reached RAM counts for the kernel that wrote it, and for nobody else.
  const lostWrites = scenario.spec.steps.some((step) => 'corrupt' in step && step.corrupt?.stale === true);
  if (last.figures['keys'] !== undefined && !misaligned && !lostWrites) {
    expect(expected.preserved.count).toBe(last.figures['keys']);
  }
  const folder = mkdtempSync(join(tmpdir(), 'khosim-export-'));
  try {
    writeImage(folder, image);
    const file = join(folder, 'image.json');
    const inspected = await khosim('inspect', file, '--json', '--list');
    const { schema, ...fields } = JSON.parse(inspected.out) as Inspected & { schema: number };
    expect(schema).toBe(1);
    expect(fields).toEqual(expected);
    expect(inspected.code).toBe(expected.findings.some((finding) => finding.severity === 'error') ? 1 : 0);

    // An image tells nothing of the ranges that firmware keeps.
    if ((scenario.spec.machine.reserved ?? []).length > 0) return;
    // A run fills free pages with junk, and boot does only when it is asked to.
    const config = ['--config', 'PAGE_POISONING=y'];
    // The image says in which pages it was written.
    if (last.pageSize !== undefined) config.push('--page-size', String(last.pageSize));
    const booted = await khosim(
      'boot',
      file,
      '--release',
      last.release,
      '--cmdline',
      last.cmdline,
      ...config,
      '--json',
    );
    expect((JSON.parse(booted.out) as Booted).outcome).toBe(run.outcome);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
