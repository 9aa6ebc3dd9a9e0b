import { describe, expect, test } from 'vitest';
import { ShmemFile } from '../../../kernel/mm/shmem.ts';
import { PAGE_4K, PAGE_SIZES, pattern } from '../../../machine/index.ts';
import { FileContent } from '../../../scenarios/run/file-content.ts';
import { parseScenario } from '../../../scenarios/run/load.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';
import { runningMm } from '../../kernel/mm/set-up.ts';

function scenarioOf(steps: string, release = '7.3', arch = 'arm64') {
  return parseScenario(
    `name: x
machine: { arch: ${arch}, pageSize: 4K, memory: 512M }
kernel: { release: "${release}", cmdline: "kho=on liveupdate=on kho_scratch=32M,32M,32M", config: { LIVEUPDATE_TEST: true } }
steps:
${steps}`,
    'plan.yaml',
  );
}

/** What each step came to, and what was found of sessions. */
function results(steps: string, release?: string) {
  const { steps: done, objects } = runScenario(scenarioOf(steps, release), { page: PAGE_4K });
  return {
    steps: done.map(({ result }) => result),
    sessions: objects.map(({ name, state, detail }) => `${name}: ${state}, ${detail}`),
  };
}

describe('single calls on sessions', () => {
  test('come to what the kernel says', () => {
    expect(
      results(`
  - session: { name: a, files: [{ token: 1, memfd: 64K }] }
  - preserve file: { session: a, token: 1, memfd: 4K }
  - preserve file: { session: a, token: 2, memfd: 4K }
  - preserve file: { session: a, token: 3, of: { session: a, token: 2 } }
  - retrieve file: { session: a, token: 1 }
  - finish: { session: a, reserved: 0 }
  - write file: { session: a, token: 1, offset: 64K }
  - write file: { session: a, token: 1, offset: 4095, bytes: "01 02" }
  - read file: { session: a, token: 1 }
  - kexec
  - read file: { session: a, token: 1 }
  - retrieve: a
  - retrieve file: { session: a, token: 2 }
  - get flb: liveupdate-test-flb-v0
  - get flb: nobody
  - finish: { session: a, reserved: 7 }
  - close: a
  - close: a
  - reclaim
  - read file: { session: a, token: 1 }`),
    ).toEqual({
      steps: [
        ...['ok', 'EEXIST', 'ok', 'EBUSY', 'EINVAL', 'EINVAL', 'EPERM', 'ok', 'ok', 'ok'],
        ...['EBADF', 'ok', 'ok', 'ok', 'ENOENT', 'EINVAL', 'ok', 'ENOENT', 'ok', 'ok'],
      ],
      sessions: ['a: damaged, file 0x1 cannot be retrieved'],
    });
  });

  test('a session that is closed in the kernel that made it is not handed over, and its files can go elsewhere', () => {
    expect(
      results(`
  - session: { name: a, files: [{ token: 1, memfd: 64K }] }
  - session: { name: b }
  - close: a
  - preserve file: { session: b, token: 9, of: { session: a, token: 1 } }
  - kexec
  - retrieve: a
  - retrieve: b`),
    ).toEqual({
      steps: ['ok', 'ok', 'ok', 'ok', 'ok', 'ENOENT', 'ok'],
      sessions: ['a: untested, never crossed', 'b: intact, 1 files read back'],
    });
  });

  test('a program reads what it wrote, before and after its session is finished', () => {
    const damaged = results(`
  - session: { name: a, files: [{ token: 1, memfd: 64K }] }
  - kexec
  - retrieve: a
  - write file: { session: a, token: 1, offset: 10K, bytes: "00" }
  - finish: a
  - read file: { session: a, token: 1 }`);
    expect(damaged.sessions).toEqual(['a: intact, 1 files read back']);
  });

  test('pages of a file that nobody can have any more are a leak, once its session is finished', () => {
    const steps = `
  - session: { name: a, files: [{ token: 1, memfd: 64K }] }
  - kexec
  - fault: { at: memfd.charge-folio, nth: 3 }
  - retrieve: a
  - finish: a`;
    const run = (release: string) => runScenario(scenarioOf(steps, release), { page: PAGE_4K });
    expect([run('7.0').leaked.pages, run('7.3').leaked.pages]).toEqual([13, 0]);
    expect(run('7.0').objects).toMatchObject([{ name: 'a', state: 'damaged' }]);
    expect(run('7.3').verdict).toBe('damaged');
  });
});

describe('a file in the book', () => {
  test.each(PAGE_SIZES)('is compared wherever something is or should be, with $name pages', (page) => {
    const size = page.sizeBytes;
    const mm = runningMm(page, 64);
    const file = new ShmemFile(mm, 'a');
    const content = new FileContent(page, pattern(3));
    file.fill(2, 3, pattern(3));
    for (let index = 2; index < 5; index++) {
      const folio = file.cache.find(index);
      if (folio === undefined) throw new Error('no folio');
      content.filled(index, folio.pfn);
    }
    file.truncate(2 ** 50);
    expect(content.firstDifference(file, page)).toBeUndefined();
    expect([...content.frames(page)]).toHaveLength(3);
    const bytes = Uint8Array.of(1, 2, 3);
    file.write(2 * size - 1, bytes);
    expect(content.firstDifference(file, page)).toBe(2 * size - 1);
    content.patch(2 * size - 1, bytes);
    expect(content.firstDifference(file, page)).toBeUndefined();
    file.punchHole(3 * size, size);
    expect(content.firstDifference(file, page)).toBeGreaterThanOrEqual(3 * size);
    expect(content.firstDifference(file, page)).toBeLessThan(4 * size);
  });
});

describe('what cannot be said of sessions', () => {
  test.each([
    ['- preserve file: { session: a, token: 1, memfd: 4K }', "nothing is called 'a' here"],
    [
      '- session: { name: a }\n  - preserve file: { session: a, token: 1 }',
      'a file is a new memfd of some size, or one',
    ],
    ['- session: { name: a }\n  - write file: { session: b, token: 1 }', "nothing is called 'b' here"],
    ['- close: a', "nothing is called 'a' here"],
    ['- kexec: { meanwhile: { exit: a } }', "nothing is called 'a' here"],
    ['- kexec and return', 'a kernel comes back on x86_64 only'],
    ['- corrupt: { what: session-files }\n  - kexec', 'whose files\\? give the session’s name'],
  ])('%s', (steps, message) => {
    expect(() => scenarioOf(`  ${steps}`)).toThrow(new RegExp(`plan.yaml:[56]: ${message}`));
  });

  test('a session without files has none to corrupt', () => {
    const scenario = scenarioOf('  - session: { name: a }\n  - corrupt: { what: session-files, name: a }\n  - kexec');
    expect(() => runScenario(scenario, { page: PAGE_4K })).toThrow(/the handover has no files of a session 'a'/);
  });
});

test('a session cannot have the name of one that came in and was not retrieved', () => {
  const again = `
  - session: { name: a, files: [] }
  - kexec
  - session: { name: a, files: [{ token: 1, memfd: 4K }] }`;
  expect(() => results(again)).toThrow("a session 'a' came in, and was not retrieved yet");
});
