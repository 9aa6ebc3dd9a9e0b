import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { packageRoot } from '../../../scenarios/package-root.ts';
import { type CapturedImage, captureImage } from '../../../scenarios/run/export.ts';
import { libraryNames, libraryScenario } from '../../../scenarios/run/library.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';
import { expectAgreement, khosim, LARGE } from './export-agreement.ts';

const folder = mkdtempSync(join(tmpdir(), 'khosim-export-'));
afterAll(() => rmSync(folder, { recursive: true }));

const small = libraryNames().filter((name) => !LARGE.includes(name));

test.each(small)('the image that %s exports says to inspect and boot what the run says', expectAgreement);

test('real-kernel: no finding at any page size, every client found', () => {
  for (const name of ['real-kernel', 'real-kernel-x86_64']) {
    const scenario = libraryScenario(name);
    for (const page of scenario.pageSizes) {
      let image: CapturedImage | undefined;
      runScenario(scenario, {
        page,
        atLastJump: (machine, handoff) => {
          image = captureImage(machine, handoff);
        },
      });
      expect(image?.expected).toMatchObject({
        findings: [],
        compatible: 'kho-v4',
        subtrees: [{ name: 'memblock' }, { name: 'LUO' }, { name: 'kho_test' }, { name: 'kexec-metadata' }],
        reserveMem: [{ name: 'khosim_rm', size: '0x200000' }],
        kexecMetadata: { version: 1, previousRelease: '7.3.4', kexecCount: 1 },
        luo: {
          compatible: 'luo-v5',
          liveupdateNumber: 1,
          sessions: [{ name: 'oracle-session' }, { name: 'second' }],
          flbs: [0, 1, 2].map((i) => ({
            name: `liveupdate-test-flb-v${i}`,
            data_hex: (0xfeedf00dcafebee0n + BigInt(i)).toString(16),
            count: 6,
          })),
        },
      });
    }
  }
});

test('run --export and inspect, each in a process of its own, agree', () => {
  const main = join(packageRoot(), 'dist/scenarios/cli/main.js');
  const out = join(folder, 'own-process');
  const run = spawnSync(process.execPath, [
    main,
    'run',
    'stray-write',
    '--page-size',
    '16K',
    '--export',
    out,
    '--quiet',
  ]);
  expect({ status: run.status, stderr: String(run.stderr) }).toEqual({ status: 0, stderr: '' });
  const inspect = spawnSync(process.execPath, [main, 'inspect', join(out, 'image.json'), '--json', '--list']);
  const expected: unknown = JSON.parse(readFileSync(join(out, 'expected.json'), 'utf8'));
  expect(JSON.parse(String(inspect.stdout))).toMatchObject(expected as object);
});

test('a scenario without a handover has nothing to export', async () => {
  const { code, err } = await khosim('run', 'order-31-overflow', '--export', join(folder, 'none'));
  expect(code).toBe(2);
  expect(err).toMatch(/^order-31-overflow has no handover at its last jump: there is nothing to export\n {2}hint: /);
});
