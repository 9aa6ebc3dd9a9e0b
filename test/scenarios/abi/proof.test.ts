import { describe, expect, test } from 'vitest';
import { LATEST_RELEASE, type Release, releaseByName } from '../../../kernel/release.ts';
import { PAGE_4K, PAGE_16K, PAGE_64K, type PageSize, Random } from '../../../machine/index.ts';
import { releaseWith, setOfRelease } from '../../../scenarios/abi/abi-set.ts';
import { check } from '../../../scenarios/abi/check.ts';
import { findSubject } from '../../../scenarios/abi/proposal.ts';
import { simulatorProver } from '../../../scenarios/abi/simulator-prover.ts';
import { judge } from '../../../scenarios/abi/verdict.ts';
import { probeHandover } from '../../../scenarios/handover/new-kernel.ts';
import type { WorkloadName } from '../../../scenarios/handover/workload.ts';
import { mutationsOf } from './mutations.ts';

function release(name: string): Release {
  const found = releaseByName(name);
  if (found === undefined) throw new RangeError(name);
  return found;
}

function run(before: string, after: string, page: PageSize, workload: WorkloadName) {
  return probeHandover(release(before), release(after), page, workload);
}

test('the same bytes on both sides: every client comes back', () => {
  expect(run('7.2', '7.3', PAGE_4K, 'clients')).toEqual({
    outcome: 'handover',
    detail: 'everything came back',
    pagesLost: 0,
    pagesPhantom: 0,
    clientsBroken: [],
  });
});

describe('the silent breaks, executed', () => {
  test('a reader of larger bitmaps takes slab for preserved memory, and falls over', () => {
    const { outcome, pagesPhantom, detail } = run('6.17.8', '6.17.9', PAGE_4K, 'core');
    expect(['oops', 'corrupt']).toContain(outcome);
    expect(pagesPhantom).toBeGreaterThan(0);
    expect(detail).toMatch(/\d+ phantom pages: 0x/);
  });

  test('a reader of smaller bitmaps loses what lies behind them, without a word', () => {
    const { outcome, pagesLost, detail } = run('6.17.9', '6.17.8', PAGE_4K, 'core');
    expect(outcome).toBe('corrupt');
    expect(pagesLost).toBeGreaterThan(1000);
    expect(detail).toMatch(/\d+ pages lost: 0x/);
  });

  test('the depth at 16K: no way leads across, while other page sizes do not notice', () => {
    expect(run('7.1-rc5', '7.1', PAGE_16K, 'core').outcome).toMatch(/oops|corrupt/);
    expect(run('7.1', '7.1-rc5', PAGE_16K, 'core').outcome).toMatch(/oops|corrupt/);
    expect(run('7.1-rc5', '7.1', PAGE_64K, 'core').outcome).toBe('handover');
  });

  test('the list of test_kho in another form', () => {
    expect(run('6.17.9', '6.18', PAGE_4K, 'clients').clientsBroken).toEqual(['kho_test']);
  });

  test('the node that LUO of 7.0 insists on: a panic one way, nothing the other', () => {
    const { outcome, detail } = run('6.19', '7.0', PAGE_4K, 'clients');
    expect([outcome, detail]).toEqual(['panic', expect.stringContaining('incoming tree failed to initialize')]);
    expect(run('7.0', '6.19', PAGE_4K, 'clients').outcome).toBe('handover');
  });
});

test('a declared break is a cold boot, with the reason', () => {
  const { outcome, detail } = run('7.1', '7.2', PAGE_4K, 'core');
  expect([outcome, detail]).toEqual(['cold-boot', expect.stringContaining("incompatible with 'kho-v4'")]);
});

test('the posted patch kept the string: the map is not found, and everything is lost', () => {
  for (const [before, after] of [
    ['kho-radix-rfc-v1', '6.18'],
    ['6.18', 'kho-radix-rfc-v1'],
  ] as const) {
    const { outcome, pagesLost } = run(before, after, PAGE_4K, 'core');
    expect(outcome).toBe('corrupt');
    expect(pagesLost).toBeGreaterThan(1000);
  }
  expect(run('kho-radix-rfc-v1', 'kho-radix-rfc-v1', PAGE_16K, 'core').outcome).toBe('handover');
});

test('check with the simulator: both ways, at the page sizes that differ', async () => {
  const result = await check(await findSubject('7.1-rc5'), await findSubject('7.1'), { prover: simulatorProver() });
  expect(result.proof.runs.map((each) => [each.old, each.new, each.pageSize, each.workload])).toEqual([
    ['7.1-rc5', '7.1', 16384, 'core'],
    ['7.1', '7.1-rc5', 16384, 'core'],
  ]);
  expect(result.atStake.pages).toBeGreaterThan(0);
});

/** Places where a change shows in every handover that has the client: what a sample is drawn from. */
const SHOWN = [
  /^radix-v4: (depth|bitmapLog2|tableLog2) [-+] 1$/,
  /^radix-v4: endianness of table entries$/,
  /^vmalloc-v2: kho_vmalloc\.(first|total_pages): (a u64 before it|other endianness)$/,
  /^block-v4: kho_block_header_ser\.\w+: (a u64 before it|a u32 behind it)$/,
  /^luo-v5: luo_ser\.sessions_pa: (other endianness|before its neighbour)$/,
  /^luo-session-v5: luo_file_ser\.(data|compatible): (another size|a u64 before it)$/,
  /^luo-session-v5: LIVEUPDATE_\w+ = /,
];

test('a seeded sample of single changes to 7.3 does the damage that the static verdict foretells', async () => {
  const base = { set: setOfRelease(LATEST_RELEASE), release: LATEST_RELEASE };
  const shown = mutationsOf(base.set).filter(({ what }) => SHOWN.some((pattern) => pattern.test(what)));
  expect(shown.length).toBeGreaterThan(20);
  const random = new Random(5);
  const prover = simulatorProver([PAGE_4K]);
  const damaged: string[] = [];
  const unharmed: string[] = [];
  for (let i = 0; i < 8; i++) {
    const { what, set } = random.pick(shown);
    const changed = releaseWith(LATEST_RELEASE, what, set);
    const { changes } = judge(base, { set, release: changed });
    const { runs } = await prover.prove(LATEST_RELEASE, changed, changes);
    if (runs.some(({ outcome }) => outcome !== 'handover')) damaged.push(what);
    else if (runs.length > 0) unharmed.push(what);
  }
  expect(unharmed).toEqual([]);
  expect(damaged.length).toBeGreaterThan(4);
});
