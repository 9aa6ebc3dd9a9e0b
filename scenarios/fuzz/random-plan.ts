import fc from 'fast-check';
import { NAMED_QUIRKS } from '../../kernel/quirks.ts';
import { RELEASES } from '../../kernel/release.ts';
import { lostWrite, withLostWrite } from './lost-writes.ts';
import { type FuzzPlan, fieldOf, LAST_OBJECT, type PlanConfig, type PlanStep, stepOf } from './plan.ts';
import { type Draft, randomStep, SCRATCH_TOO_SMALL_FOR_MEMBLOCK, type StepMaker } from './random-steps.ts';

/*
 * The arbitrary of whole scenarios. The configuration is drawn like the steps are: page size, banks, nodes, scratch, the
 * release and build options of every kernel. It shrinks to a small plain machine with the newest kernel.
 */

/** A machine, and what steps have to know about it. */
interface Board {
  readonly machine: FuzzPlan['machine'];
  readonly pageBytes: number;
  readonly fixedAt: string;
  readonly hasBorder: boolean;
  readonly vastAt?: string;
  readonly ramBytes: number;
  /** What `kho_scratch=` may say. */
  readonly scratch: readonly string[];
}

const ARM64_FIXED = '0x58000000';

/** Holds no kernel image: then loading is what fails. */
const TINY_SCRATCH = '4M,4M,4M';
/** Sizes that hold the next kernel's image; the last leave little room, or none. */
const SCRATCH_SMALL_PAGES = [
  '32M,32M,32M',
  '64M,32M,32M',
  '48M,16M,8M',
  '32M,0,8M',
  '300%',
  SCRATCH_TOO_SMALL_FOR_MEMBLOCK,
  TINY_SCRATCH,
];
const SCRATCH_16K = ['32M,32M,32M', '64M,32M,32M', '32M,0,32M'];
const SCRATCH_64K = ['512M,512M,512M', '32M,32M,32M', '512M,0,512M'];

const SIZES = { '4K': 4096, '16K': 16384, '64K': 65536 } as const;

function board(pageSize: keyof typeof SIZES, memory: string, nodes = 1): Board {
  return {
    machine: { pageSize, memory, ...(nodes > 1 ? { nodes } : {}) },
    pageBytes: SIZES[pageSize],
    ramBytes: Number.parseInt(memory, 10) * (memory.endsWith('G') ? 2 ** 30 : 2 ** 20),
    fixedAt: pageSize === '64K' ? '0x80000000' : ARM64_FIXED,
    hasBorder: nodes > 1,
    scratch: { '4K': SCRATCH_SMALL_PAGES, '16K': SCRATCH_16K, '64K': SCRATCH_64K }[pageSize],
  };
}

/** Nodes in turns, and a hole. */
const INTERLEAVED: Board = {
  ...board('4K', '1G'),
  machine: {
    pageSize: '4K',
    memory: [
      { base: '0x40000000', size: '384M', nid: 0 },
      { base: '0x58000000', size: '512M', nid: 1 },
      { base: '0x80000000', size: '256M', nid: 0 },
    ],
  },
  hasBorder: true,
};

/** Node 1 is there and has no memory. */
const MEMORYLESS_NODE: Board = {
  ...board('4K', '1G'),
  machine: {
    pageSize: '4K',
    memory: [
      { base: '0x40000000', size: '512M', nid: 0 },
      { base: '0x60000000', size: '512M', nid: 2 },
    ],
    memorylessNodes: [1],
  },
  hasBorder: true,
};

const X86: Board = {
  ...board('4K', '2G'),
  machine: { arch: 'x86_64', pageSize: '4K', memory: '2G' },
};

/** Terabytes far away, where a block of order 31 begins. */
const VAST: Board = {
  ...board('4K', '1G'),
  machine: {
    pageSize: '4K',
    memory: [
      { base: '0x40000000', size: '4G' },
      { base: '0x80000000000', size: '0x90000000000' },
    ],
  },
  vastAt: '0x80000000000',
  scratch: ['32M,32M,32M'],
};

/*
 * Where memory is halved, a node ends at an odd multiple of 128 MiB: then a block of 256 MiB may lie across the border,
 * aligned.
 */
const BOARDS = fc.oneof(
  {
    weight: 24,
    arbitrary: fc.constantFrom(
      board('4K', '512M'),
      board('4K', '1G'),
      board('4K', '768M', 2),
      board('4K', '2G', 3),
      INTERLEAVED,
      MEMORYLESS_NODE,
      X86,
      board('4K', '10G'),
    ),
  },
  { weight: 12, arbitrary: fc.constantFrom(board('16K', '1G'), board('16K', '2304M', 2)) },
  { weight: 12, arbitrary: fc.constantFrom(board('64K', '4G'), board('64K', '6400M', 2)) },
  { weight: 1, arbitrary: fc.constant(VAST) },
);

const NEWEST_FIRST = [...RELEASES].reverse().map(({ name }) => name);

/** Half of all kernels are the newest. */
const release = fc.oneof(fc.constant('7.3'), fc.constantFrom(...NEWEST_FIRST));

/** Something that is rarely there: one time in `times`, and not at all in the smallest. */
function rarely<T>(times: number, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: times - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
}

const config: fc.Arbitrary<PlanConfig> = fc
  .record({
    KEXEC_HANDOVER_DEBUG: rarely(3, fc.constant(false)),
    DEFERRED_STRUCT_PAGE_INIT: rarely(6, fc.constant(true)),
    NUMA: rarely(12, fc.constant(false)),
    MAX_PAGE_ORDER: rarely(10, fc.constantFrom(9, 8)),
    TEST_KEXEC_HANDOVER: rarely(8, fc.constant(true)),
    LIVEUPDATE_TEST: rarely(8, fc.constant(true)),
  })
  .map((options) => {
    const set: Record<string, boolean | number> = {};
    for (const [name, value] of Object.entries(options)) if (value !== undefined) set[name] = value;
    return set;
  });

interface Cmdline {
  readonly reserveMem: boolean;
  readonly noLuo: boolean;
  readonly off: boolean;
}

const cmdline: fc.Arbitrary<Cmdline> = fc.record({
  reserveMem: rarely(4, fc.constant(true)).map((it) => it === true),
  noLuo: rarely(4, fc.constant(true)).map((it) => it === true),
  off: rarely(20, fc.constant(true)).map((it) => it === true),
});

function cmdlineText({ reserveMem, noLuo, off }: Cmdline, scratch: string): string {
  const parts = [off ? 'kho=off' : 'kho=on'];
  if (!noLuo) parts.push('liveupdate=on');
  if (reserveMem) parts.push('reserve_mem=2M:64K:ring');
  return `${parts.join(' ')} kho_scratch=${scratch} test_kho.max_mem=1048576`;
}

/** What a jump says about the kernel behind it. */
interface Jump {
  /** A release, or how many releases on from the present one. */
  readonly release: string | number | undefined;
  readonly config: PlanConfig | undefined;
  readonly cmdline: Cmdline | undefined;
  readonly finalize: boolean;
  readonly restoresNothing: boolean;
}

const jump: fc.Arbitrary<Jump> = fc.record({
  release: rarely(3, fc.oneof(fc.constantFrom(-1, 1, -2, 2), fc.constantFrom(...NEWEST_FIRST))),
  config: rarely(6, config),
  cmdline: rarely(8, cmdline),
  finalize: rarely(8, fc.constant(false)).map((it) => it !== false),
  restoresNothing: rarely(16, fc.constant(true)).map((it) => it === true),
});

function plainJump(scratch: string): PlanStep {
  return scratch === TINY_SCRATCH ? { kexec: {}, expect: 'EADDRNOTAVAIL' } : { kexec: {} };
}

/** The release that is so many on, or as near to it as there is one. */
function neighbour(release: string, by: number): string {
  const names = RELEASES.map(({ name }) => name);
  return names[Math.min(Math.max(names.indexOf(release) + by, 0), names.length - 1)] ?? release;
}

function jumpStep(
  { config: options, cmdline: text, ...rest }: Jump,
  to: string | undefined,
  scratch: string,
): PlanStep {
  return {
    ...plainJump(scratch),
    kexec: {
      ...(to === undefined ? {} : { release: to }),
      ...(options === undefined || Object.keys(options).length === 0 ? {} : { config: options }),
      ...(text === undefined ? {} : { cmdline: cmdlineText(text, scratch) }),
      ...(rest.finalize ? {} : { finalize: false }),
      ...(rest.restoresNothing ? { restore: 'none' } : {}),
    },
  };
}

/** A jump, or a step of another kind. */
type Move = { readonly jump: Jump } | { readonly make: StepMaker };

const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 5, arbitrary: randomStep.map((make) => ({ make })) },
  { weight: 1, arbitrary: jump.map((drawn) => ({ jump: drawn })) },
);

/** Jumps of the first phase that are drawn; one may come behind them, and the second phase has its own. */
const MAX_FIRST_JUMPS = 2;
const MAX_MOVES = 18;

function stepsOf(moves: readonly Move[], draft: Draft, first: string, scratch: string): PlanStep[] {
  const steps: PlanStep[] = [];
  let now = first;
  let jumps = 0;
  for (const each of moves) {
    if ('make' in each) {
      const step = each.make(draft);
      if (step !== undefined) steps.push(...[step].flat());
    } else if (jumps < MAX_FIRST_JUMPS) {
      jumps++;
      const { release: wanted } = each.jump;
      const to = typeof wanted === 'number' ? neighbour(now, wanted) : wanted;
      now = to ?? now;
      steps.push(jumpStep(each.jump, to, scratch));
    }
  }
  return steps;
}

/** A jump to a kernel that has a quirk too; one of the release before keeps it by itself. */
function withQuirk(step: PlanStep, quirk: string | undefined): PlanStep {
  const { verb, spec } = stepOf(step);
  if (quirk === undefined || verb !== 'kexec' || fieldOf(spec, 'release') === undefined) return step;
  return { ...step, kexec: { ...(spec as PlanStep), quirks: [quirk] } };
}

/** A handover without faults: nothing that is drawn has a part in it. It begins in a kernel of its own. */
function withSecondPhase(first: readonly PlanStep[], scratch: string): PlanStep[] {
  const last = first.at(-1);
  const between = last === undefined || 'kexec' in last ? [] : [plainJump(scratch)];
  return [...first, ...between, { 'preserve folios': { order: 1, count: 8, as: LAST_OBJECT } }, plainJump(scratch)];
}

/** Random scenarios. The same seed gives the same, always. */
export const randomPlan: fc.Arbitrary<FuzzPlan> = fc
  .record({
    board: BOARDS,
    // Drawn early, so that what comes before has something to shrink to.
    secondPhase: fc.integer({ min: 0, max: 255 }),
    moves: fc.array(move, { maxLength: MAX_MOVES, size: 'max' }),
    release,
    config,
    cmdline,
    scratch: index32(),
    // Drawn last: whatever else a seed stands for does not change with it.
    lost: rarely(10, lostWrite),
    quirk: rarely(12, fc.constantFrom(...NAMED_QUIRKS.map((each) => each.name))),
  })
  .map(
    ({ board: at, secondPhase, moves, release: name, config: options, cmdline: text, scratch: which, lost, quirk }) => {
      const scratch = at.scratch[which % at.scratch.length] ?? '32M,32M,32M';
      const draft: Draft = {
        pageBytes: at.pageBytes,
        fixedAt: at.fixedAt,
        hasBorder: at.hasBorder && options['NUMA'] !== false,
        ramBytes: at.ramBytes,
        scratch,
        vastAt: at.vastAt,
        memory: [],
        notTheirs: new Set(),
        freed: new Set(),
        subtrees: [],
        sessions: [],
        next: 0,
      };
      // There a boot takes a second, and what is looked for needs none.
      const isVast = at.vastAt !== undefined;
      const drawn = stepsOf(isVast ? moves.filter((each) => 'make' in each) : moves, draft, name, scratch);
      const first = lost === undefined || isVast || secondPhase === 0 ? drawn : withLostWrite(drawn, lost, name);
      return {
        name: 'a random scenario',
        seed: 1,
        machine: at.machine,
        kernel: {
          release: name,
          cmdline: cmdlineText(text, scratch),
          ...(Object.keys(options).length === 0 ? {} : { config: options }),
          ...(quirk === undefined ? {} : { quirks: [quirk] }),
        },
        steps: (secondPhase === 0 || isVast ? first : withSecondPhase(first, scratch)).map((step) =>
          withQuirk(step, quirk),
        ),
      };
    },
  );

function index32(): fc.Arbitrary<number> {
  return fc.nat(31);
}

/** The scenario of a seed. */
export function fuzzPlan(seed: number): FuzzPlan {
  const [plan] = fc.sample(randomPlan, { seed, numRuns: 1 });
  if (plan === undefined) throw new Error('fast-check drew nothing');
  return plan;
}
