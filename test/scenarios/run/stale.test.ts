import { describe, expect, test } from 'vitest';
import { PAGE_4K, PAGE_64K } from '../../../machine/index.ts';
import { InputError } from '../../../scenarios/input-error.ts';
import { parseScenario } from '../../../scenarios/run/load.ts';
import type { RunResult } from '../../../scenarios/run/result.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';
import { CORRUPT_TARGETS } from '../../../scenarios/run/schema.ts';
import { STALE_MEMORY } from '../../../scenarios/run/stale.ts';

/*
 * What the list of stale memory says must follow, held to it: with the writes lost, and without.
 */

function scenarioOf(release: string, steps: string, cmdline = 'kho=on') {
  const kernel = `{ release: "${release}", cmdline: "${cmdline} kho_scratch=64M,64M,64M" }`;
  return parseScenario(`name: test\nmachine: { memory: 2G }\nkernel: ${kernel}\nsteps:\n${steps}`, 'test.yaml');
}

const run = (release: string, steps: string, cmdline?: string) =>
  runScenario(scenarioOf(release, steps, cmdline), { page: PAGE_4K });

/** The same run with the writes lost, and without. */
function bothOf(release: string, what: string, before: string, after: string, cmdline?: string) {
  const lost = `  - corrupt: { what: ${what}, stale: true }\n`;
  return {
    stale: run(release, `${before}${lost}${after}`, cmdline),
    fresh: run(release, `${before}${after}`, cmdline),
  };
}

const statesOf = (result: RunResult) => Object.fromEntries(result.objects.map(({ name, state }) => [name, state]));

// All in the first leaf, which has 128 MiB from the start of RAM.
const EARLY = `  - preserve folios: { order: 0, count: 3, at: 0x41000000, as: early }
  - preserve folios: { order: 0, count: 2, at: 0x42000000, as: dropped }
`;
const LATE = `  - preserve folios: { order: 0, count: 5, at: 0x43000000, as: late }
  - unpreserve: dropped
  - kexec
`;

describe('bits that never reached RAM', () => {
  test.each([
    ['7.3', 'tree-leaf', 'damaged', 1],
    ['7.1', 'tree-leaf', 'damaged', 1],
    ['7.0', 'bitmap', 'damaged', 1],
    ['6.18', 'bitmap', 'damaged', 1],
    ['6.17.9', 'bitmap', 'corrupt', 0],
    ['6.16', 'bitmap', 'corrupt', 0],
  ])(
    '%s, %s: blocks that were preserved since are lost, others are as they were',
    (release, what, verdict, warnings) => {
      // The bitmap of 6.16 has 4096 bits: 16 MiB.
      const close = (text: string) => text.replace('0x42000000', '0x41010000').replace('0x43000000', '0x41020000');
      const { stale, fresh } = bothOf(release, what, close(EARLY), close(LATE));
      expect([stale.outcome, stale.verdict]).toEqual(['handover', verdict]);
      expect(statesOf(stale)).toEqual({ early: 'intact', dropped: 'untested', late: 'damaged' });
      // Of what was unpreserved the new kernel cannot know: it sets it aside.
      expect([stale.lost.pages, stale.leaked.pages, stale.phantom.pages]).toEqual([5, 0, 2]);
      expect(stale.kernels[1]?.warnings).toBe(warnings);
      expect(fresh.verdict).toBe('intact');
    },
  );

  test('a cache line of a leaf is 2 MiB of single pages: what lies beyond it arrives', () => {
    const steps = (size: string) => `${EARLY}  - corrupt: { what: tree-leaf, offset: 0x600, ${size}stale: true }
  - preserve folios: { order: 0, count: 1, at: 0x43000000, as: inside }
  - preserve folios: { order: 0, count: 1, at: 0x43200000, as: behind }
  - kexec
`;
    expect(statesOf(run('7.3', steps('size: 64, ')))).toMatchObject({ inside: 'damaged', behind: 'intact' });
    expect(statesOf(run('7.3', steps('')))).toMatchObject({ early: 'intact', inside: 'damaged', behind: 'damaged' });
  });

  test('with 64K pages as with 4K', () => {
    const steps = `${EARLY}  - corrupt: { what: tree-leaf, stale: true }\n${LATE}`;
    const text = `name: test\nmachine: { memory: 4G }\nkernel: { cmdline: "kho=on kho_scratch=512M,512M,512M" }\nsteps:\n${steps}`;
    const result = runScenario(parseScenario(text, 'test.yaml'), { page: PAGE_64K });
    expect(statesOf(result)).toEqual({ early: 'intact', dropped: 'untested', late: 'damaged' });
  });
});

test('a link that never reached RAM takes all with it that hangs there, and nothing else', () => {
  const far = `  - preserve folios: { order: 0, count: 5, at: 0x58000000, as: late }\n  - kexec\n`;
  const { stale, fresh } = bothOf('7.3', 'tree-node, level: 1', EARLY, far);
  expect([stale.outcome, stale.verdict, stale.lost.pages]).toEqual(['handover', 'damaged', 5]);
  expect(statesOf(stale)).toEqual({ early: 'intact', dropped: 'intact', late: 'damaged' });
  expect(stale.kernels[1]?.warnings).toBe(1);
  expect(fresh.verdict).toBe('intact');
});

test('so does one of the root table: a whole order', () => {
  const high = `  - preserve folios: { order: 3, count: 5, as: late }\n  - kexec\n`;
  const { stale, fresh } = bothOf('7.3', 'tree-root', EARLY, high);
  expect([stale.outcome, stale.verdict, stale.lost.pages]).toEqual(['handover', 'damaged', 40]);
  expect(statesOf(stale)).toEqual({ early: 'intact', dropped: 'intact', late: 'damaged' });
  expect(fresh.verdict).toBe('intact');
});

test.each(['6.16', '6.18', '7.0'])('%s: a chunk list that never reached RAM makes the new kernel fall', (release) => {
  const { stale, fresh } = bothOf(release, 'chunk', EARLY, LATE);
  expect([stale.outcome, stale.verdict]).toEqual(['oops', 'crashed']);
  expect(statesOf(stale)).toMatchObject({ early: 'lost', late: 'lost' });
  expect([fresh.outcome, fresh.verdict]).toEqual(['handover', 'intact']);
});

describe('the root FDT', () => {
  const first = `${EARLY}  - add subtree: { name: first, size: 100 }\n`;
  const second = '  - add subtree: { name: second, size: 100 }\n  - kexec\n';

  test('of 7.3 has the subtrees of before: the memory is there, the client does not find it', () => {
    const { stale, fresh } = bothOf('7.3', 'fdt', first, second);
    expect([stale.outcome, stale.verdict]).toEqual(['handover', 'corrupt']);
    expect(statesOf(stale)).toEqual({ early: 'intact', dropped: 'intact', first: 'intact', second: 'damaged' });
    expect(stale.objects.at(-1)?.detail).toContain('does not find it');
    expect(fresh.verdict).toBe('intact');
  });

  test.each(['6.18', '7.0'])('of %s says nothing of the map before it is final: refused', (release) => {
    const { stale, fresh } = bothOf(release, 'fdt', first, second);
    expect([stale.outcome, stale.verdict]).toEqual(['cold-boot', 'refused']);
    expect(statesOf(stale)).toMatchObject({ early: 'lost', first: 'lost', second: 'lost' });
    expect(fresh.verdict).toBe('intact');
  });
});

test.each(['6.18', '7.3'])(
  '%s: a client’s data that never reached RAM is damage that no kernel mentions',
  (release) => {
    const blob = '  - add subtree: { name: blob, size: 100 }\n  - kexec\n';
    const { stale, fresh } = bothOf(release, 'subtree, name: blob', EARLY, blob);
    expect([stale.outcome, stale.verdict, stale.kernels[1]?.warnings]).toEqual(['handover', 'corrupt', 0]);
    expect(statesOf(stale)).toEqual({ early: 'intact', dropped: 'intact', blob: 'damaged' });
    expect(fresh.verdict).toBe('intact');
  },
);

test.each([
  ['7.3', 'EIO'],
  ['7.2', 'EIO'],
  ['7.0', 'ENOENT'],
])('%s: files that LUO serialized in vain are refused to who asks: %s', (release, error) => {
  const session = `${EARLY}  - session: { name: vm, files: [{ token: 1, memfd: 300K }] }\n`;
  const { stale, fresh } = bothOf(release, 'session-files, name: vm', session, '  - kexec\n  - retrieve: vm\n', LUO);
  expect(stale.outcome).toBe('handover');
  expect(stale.steps.at(-1)?.result).toBe(error);
  expect(statesOf(stale)).toMatchObject({ early: 'intact', dropped: 'intact' });
  expect(statesOf(stale)['vm']).not.toBe('intact');
  expect([fresh.verdict, statesOf(fresh)['vm']]).toEqual(['intact', 'intact']);
});

const LUO = 'kho=on liveupdate=on';

test.each(['6.18', '7.3'])('%s: a scratch array that never reached RAM makes the new kernel fall', (release) => {
  const { stale, fresh } = bothOf(release, 'scratch-array', EARLY, LATE);
  expect([stale.outcome, stale.verdict]).toEqual(['oops', 'crashed']);
  expect(fresh.verdict).toBe('intact');
});

test('nothing was written since: nothing is stale', () => {
  for (const what of ['tree-leaf', 'tree-node', 'tree-root', 'fdt']) {
    const result = run('7.3', `${EARLY}  - corrupt: { what: ${what}, stale: true }\n  - kexec\n`);
    expect([what, result.verdict]).toEqual([what, 'intact']);
  }
});

test('the old kernel goes on with what it wrote: it is the next one’s RAM that lacks it', () => {
  const steps = `${EARLY}  - corrupt: { what: tree-leaf, stale: true }
  - preserve folios: { order: 0, count: 5, at: 0x43000000, as: late }
  - unpreserve: late
  - preserve: late
  - kexec
`;
  const result = run('7.3', steps);
  expect(result.kernels[0]?.warnings).toBe(0);
  expect(statesOf(result)).toMatchObject({ early: 'intact', late: 'damaged' });
});

test('every target that lies in memory is on the list', () => {
  const inMemory = CORRUPT_TARGETS.filter((what) => !what.startsWith('handoff'));
  expect(STALE_MEMORY.map(({ what }) => what).sort()).toEqual([...inMemory].sort());
});

test.each([
  ['what: fdt, stale: true, bytes: "00"', 'holds what it held before'],
  ['what: fdt, size: 64', 'a size is that of what is stale'],
  ['what: handoff-fdt, stale: true, value: 1', 'are in no memory'],
  ['what: bitmap', 'the handover has no bitmap'],
  ['what: fdt, stale: true, offset: 4096', 'no such bytes'],
])('{ %s } is the file’s mistake', (text, message) => {
  const mistake = () => run('7.3', `${EARLY}  - corrupt: { ${text} }\n  - kexec\n`);
  expect(mistake).toThrow(InputError);
  expect(mistake).toThrow(message);
});
