import { describe, expect, test } from 'vitest';
import { PAGE_4K, PAGE_64K, type PageSize, pageSizeByName } from '../../../machine/index.ts';
import { InputError } from '../../../scenarios/input-error.ts';
import { PageHistory } from '../../../scenarios/observe/page-history.ts';
import { RunPicture } from '../../../scenarios/observe/run-picture.ts';
import { RunRecorder } from '../../../scenarios/observe/run-recorder.ts';
import { captureImage } from '../../../scenarios/run/export.ts';
import { libraryScenario } from '../../../scenarios/run/library.ts';
import { parseScenario } from '../../../scenarios/run/load.ts';
import { observers } from '../../../scenarios/run/observer.ts';
import { runScenario, runScenarioAtLength } from '../../../scenarios/run/runner.ts';

const MACHINE = 'machine: { memory: 4G }';
const CMDLINE = 'kho=on liveupdate=on kho_scratch=512M,512M,512M';

function scenarioOf(release: string, steps: string, rest = 'expect: {}', machine = MACHINE) {
  return parseScenario(
    `name: test\n${machine}\nkernel: { release: "${release}", cmdline: "${CMDLINE}" }\nsteps:\n${steps}\n${rest}`,
    'test.yaml',
  );
}

const TWO_OBJECTS = `
  - preserve folios: { order: 0, count: 5, as: pages }
  - preserve folios: { size: 1M, count: 2, as: buffers }`;

function pageOf(name: string): PageSize {
  const page = pageSizeByName(name);
  if (page === undefined) throw new Error(`no page size ${name}`);
  return page;
}

describe.each([
  ['4K', '16K'],
  ['4K', '64K'],
  ['64K', '4K'],
] as const)('from %s to %s pages', (from, to) => {
  test.each(['6.18', '7.3'])(
    '%s falls over what it reads, and all is lost; with its own pages nothing is',
    (release) => {
      const page = pageOf(from);
      const other = runScenario(scenarioOf(release, `${TWO_OBJECTS}\n  - kexec: { pageSize: ${to} }`), { page });
      expect([other.outcome, other.verdict, other.pageSize]).toEqual(['oops', 'crashed', page.sizeBytes]);
      expect(other.kernels.map((kernel) => kernel.pageSize)).toEqual([undefined, pageOf(to).sizeBytes]);
      expect(other.objects.map((object) => [object.name, object.state])).toEqual([
        ['pages', 'lost'],
        ['buffers', 'lost'],
      ]);
      expect(other.lost).toEqual(other.preserved);
      expect(other.lost.bytes).toBe(5 * page.sizeBytes + 2 * 2 ** 20);
      const same = runScenario(scenarioOf(release, `${TWO_OBJECTS}\n  - kexec`), { page });
      expect([same.outcome, same.verdict]).toEqual(['handover', 'intact']);
    },
  );

  // The strings differ, so the handover is refused; the machine goes on with the other page size.
  const refused = `${TWO_OBJECTS}\n  - kexec: { release: "7.3", pageSize: ${to}, cmdline: "${CMDLINE}" }`;

  test('a kernel that refuses the handover hands its own over in its own pages, as if nothing had been', () => {
    const steps = `${refused}
  - preserve folios: { order: 0, count: 7, as: later }
  - preserve pages: { count: 33, as: range }
  - preserve vmalloc: { size: 300K, as: area }
  - write: { to: later, page: 3 }
  - write: { to: range, page: 32, offset: 100 }
  - add subtree: { name: blob, size: 3000 }
  - session: { name: vm, files: [{ token: 1, memfd: 300001, holes: [{ at: 64K, size: 64K }] }] }
  - kexec
  - retrieve: vm
  - kexec`;
    const run = runScenario(scenarioOf('6.18', steps), { page: pageOf(from) });
    expect(run.kernels.map((kernel) => kernel.outcome)).toEqual(['cold-boot', 'cold-boot', 'handover', 'handover']);
    expect(run.verdict).toBe('refused');
    const states = Object.fromEntries(run.objects.map((object) => [object.name, object.state]));
    expect(states).toMatchObject({ pages: 'lost', later: 'intact', range: 'intact', area: 'intact', vm: 'intact' });
    expect(run.objects.find((object) => object.name === 'later')?.bytes).toBe(7 * pageOf(to).sizeBytes);
    expect([run.damaged.pages, run.leaked.pages, run.phantom.pages]).toEqual([0, 0, 0]);
  });

  test('the checks find damage, loss and leaks in pages of either size, to the smallest', () => {
    const size = pageOf(to).sizeBytes;
    // What is damaged is said in the smallest pages of the run.
    const smallest = Math.min(size, pageOf(from).sizeBytes);
    const steps = `${refused}
  - preserve folios: { order: 1, count: 4, as: hurt }
  - preserve folios: { order: 0, count: 4, as: freed }
  - preserve folios: { order: 2, count: 1, as: forgotten }
  - damage: { to: hurt, page: 3 }
  - unpreserve: freed
  - kexec: { restore: [hurt] }`;
    const run = runScenario(scenarioOf('6.18', steps), { page: pageOf(from) });
    const of = (name: string) => run.objects.find((object) => object.name === name);
    expect(run.damaged).toEqual({ pages: 1, bytes: smallest });
    expect(of('hurt')).toMatchObject({ state: 'damaged', bytes: 8 * size });
    expect(run.leaked.bytes).toBe(4 * size);
    expect(of('forgotten')).toMatchObject({ state: 'leaked' });
    expect(of('freed')).toMatchObject({ state: 'untested' });
    expect(run.kernels.at(-1)?.restored.bytes).toBe(8 * size);
  });
});

test('6.16 with 16K pages takes other pages over than were left, without a word: the worst verdict', () => {
  const run = runScenario(libraryScenario('other-page-size-silent'), { page: PAGE_4K });
  expect([run.outcome, run.verdict, run.kernels[1]?.warnings]).toEqual(['handover', 'corrupt', 0]);
  expect(run.phantom.bytes % 2 ** 14).toBe(0);
  expect(run.ok).toBe(true);
});

test('an expectation that the other page size should do no harm fails', () => {
  const steps = `${TWO_OBJECTS}\n  - kexec: { pageSize: 64K }`;
  const run = runScenario(scenarioOf('7.3', steps, 'expect: { intact: [pages] }'), { page: PAGE_4K });
  expect(run.ok).toBe(false);
  expect(run.checks.filter((check) => !check.ok).map((check) => check.name)).toContain('outcome');
});

test('a page of 16K that is only partly an object’s does not come back as it was preserved', () => {
  // The first bit of a bitmap names the same address in pages of every size.
  const steps = `
  - preserve folios: { order: 0, at: 0x58000000, as: first }
  - kexec: { pageSize: 16K }`;
  const machine = 'machine: { memory: 8G, nodes: 2 }';
  const run = runScenario(scenarioOf('6.16', steps, 'expect: {}', machine), { page: PAGE_4K });
  expect([run.outcome, run.verdict, run.restored.pages, run.damaged.pages]).toEqual(['handover', 'corrupt', 1, 0]);
  const orders = run.checks.find((check) => check.name === 'orders and reference counts');
  expect(orders?.detail).toContain('1 page (4 KiB): 0x58000000-0x58000fff (part of a page of 16K)');
});

test('pages that were handed over are followed and drawn across the change', () => {
  const steps = `${TWO_OBJECTS}
  - kexec: { release: "7.3", pageSize: 64K, cmdline: "${CMDLINE}" }
  - preserve folios: { order: 0, at: 0x58000000, as: later }
  - kexec: { restore: none }`;
  const recorder = new RunRecorder();
  const picture = new RunPicture();
  const history = new PageHistory(0x58003000);
  const images: unknown[] = [];
  const { result, state } = runScenarioAtLength(scenarioOf('6.18', steps), {
    page: PAGE_4K,
    observer: observers(recorder, picture, history),
    atJump: (machine, handoff) => images.push(captureImage(machine, handoff)?.document),
  });
  expect(result.kernels.map((kernel) => kernel.release)).toEqual(['6.18', '7.3 with 64K pages', '7.3 with 64K pages']);
  expect(images).toMatchObject([{ pageSize: 4096 }, { pageSize: 65536 }]);
  const view = recorder.view(state, result);
  expect(view.memory.pageShift).toBe(12);
  const owners = view.memory.states.filter((each) => each.owner === 'later').map((each) => each.kind);
  expect(new Set(owners)).toEqual(new Set(['preserved', 'incoming', 'leaked']));
  expect(history.events.map(({ kernel, state: text, object }) => [kernel, text, object])).toEqual([
    [1, 'free', undefined],
    [1, 'only its bytes are left', undefined],
    [2, 'free', undefined],
    [2, 'allocated, reference count 1, preserved for the next kernel with order 0', 'later'],
    [2, 'only its bytes are left', undefined],
    [3, 'reserved for the handover, not restored, marked as preserved with order 0', 'later'],
  ]);
  expect(picture.lines(state).length).toBeGreaterThan(1);
  expect(result.leaked).toEqual({ pages: 16, bytes: 65536 });
});

test.each([
  ['machine: { memory: [{ base: 1G, size: 4G }, { base: 0x200004000, size: 1G }] }', 'a later kernel has pages of 64K'],
  ['machine: { memory: 4G, reserved: [{ base: 0x50001000, size: 4K }] }', 'none is empty, each begins with a page'],
])('RAM that the later kernel’s pages do not fit is refused: %s', (machine, hint) => {
  const scenario = scenarioOf('7.3', '  - kexec: { pageSize: 64K }', 'expect: {}', machine);
  let error: unknown;
  try {
    runScenario(scenario, { page: PAGE_4K });
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(InputError);
  expect((error as InputError).messages[0]).toMatchObject({ line: 2, hint: expect.stringContaining(hint) });
});

test('x86_64 has no other page size to boot', () => {
  const machine = 'machine: { arch: x86_64, memory: 4G }';
  const scenario = () => scenarioOf('7.3', '  - kexec: { pageSize: 16K }', 'expect: {}', machine);
  expect(scenario).toThrow('x86_64 has pages of 4K only');
});

test('the same twice: nothing is drawn or kept between two runs', () => {
  const steps = `${TWO_OBJECTS}\n  - kexec: { pageSize: 4K }`;
  const runs = [1, 2].map(() => runScenario(scenarioOf('6.18', steps), { page: PAGE_64K }));
  expect(runs[0]?.digest).toBe(runs[1]?.digest);
});
