import fc from 'fast-check';
import {
  ADD_SUBTREE_SITE,
  ALLOC_PAGES_SITE,
  ALLOC_PRESERVE_SITE,
  BITMAP_SITE,
  BLOCK_SITE,
  CHUNK_SITE,
  FAULT_SITES,
  FREEZE_SITE,
  RADIX_NODE_SITE,
  VMALLOC_CHUNK_SITE,
} from '../../kernel/fault-sites.ts';
import { CORRUPT_TARGETS } from '../run/schema.ts';
import type { PlanStep } from './plan.ts';

/*
 * Random steps, as fast-check arbitraries of functions: which objects a step may name depends on the steps before it,
 * so a step is made when those are known. What is drawn are indices; when steps before it go away in shrinking, an
 * index means another object, and the step still makes sense.
 */

/** Holds a kernel image of small pages, and little more. */
export const SCRATCH_TOO_SMALL_FOR_MEMBLOCK = '16M,4M,4M';

/** What the steps so far have made. */
export interface Draft {
  readonly pageBytes: number;
  /** The address where clients that ask for a certain one meet. */
  readonly fixedAt: string;
  readonly hasBorder: boolean;
  readonly ramBytes: number;
  /** What `kho_scratch=` says. */
  readonly scratch: string;
  /** Memory beyond everything: the only machine on which a block of order 31 fits. */
  readonly vastAt: string | undefined;
  readonly memory: string[];
  /** Of `memory`, those whose pages may be somebody else's. */
  readonly notTheirs: Set<string>;
  readonly freed: Set<string>;
  readonly subtrees: string[];
  readonly sessions: string[];
  next: number;
}

/** Makes a step or two, or none when there is nothing that it could be about. */
export type StepMaker = (draft: Draft) => PlanStep | readonly PlanStep[] | undefined;

type Weighted = fc.WeightedArbitrary<StepMaker>;

function fresh(draft: Draft, kind: string): string {
  return `${kind}-${++draft.next}`;
}

function made(draft: Draft, kind: string, theirs = true): string {
  const name = fresh(draft, kind);
  draft.memory.push(name);
  if (!theirs) draft.notTheirs.add(name);
  return name;
}

/** The one that was made last, or so many before it: then it stays the same when what is older goes away. */
function pick<T>(list: readonly T[], index: number): T | undefined {
  return list.at(-1 - (index % Math.max(list.length, 1)));
}

/** Which of the objects there are. */
const index = fc.nat(5);
const pages = (max: number) => fc.integer({ min: 1, max });
const order = (max: number) => fc.integer({ min: 0, max });

const onMemory = (verb: string): fc.Arbitrary<StepMaker> =>
  index.map((at) => (draft) => {
    const name = pick(draft.memory, at);
    return name === undefined ? undefined : { [verb]: name };
  });

const onSession = (verb: string): fc.Arbitrary<StepMaker> =>
  index.map((at) => (draft) => {
    const name = pick(draft.sessions, at);
    return name === undefined ? undefined : { [verb]: name };
  });

const SEALS = ['SEAL', 'SHRINK', 'GROW', 'WRITE', 'FUTURE_WRITE', 'EXEC'];

const file = fc.record(
  {
    memfd: fc.nat(2 ** 18),
    seals: fc.subarray(SEALS, { maxLength: 3 }),
    pos: fc.nat(2 ** 16),
    hole: fc.nat(3),
    large: fc.boolean(),
    zero: fc.boolean(),
  },
  { requiredKeys: ['memfd'] },
);

const session: fc.Arbitrary<StepMaker> = fc
  .record({ files: fc.array(file, { maxLength: 3 }), sameName: fc.integer({ min: 0, max: 9 }) })
  .map(({ files, sameName }) => (draft) => {
    const old = sameName === 9 ? draft.sessions[0] : undefined;
    const name = old ?? fresh(draft, 'session');
    if (old === undefined) draft.sessions.push(name);
    return {
      session: {
        name,
        files: files.map(({ memfd, seals, pos, hole, large, zero }, i) => ({
          token: i + 1,
          memfd,
          ...(seals === undefined || seals.length === 0 ? {} : { seals }),
          ...(pos === undefined ? {} : { pos }),
          ...(hole === undefined || hole === 0 || (hole + 1) * draft.pageBytes > memfd
            ? {}
            : { holes: [{ at: hole * draft.pageBytes, size: draft.pageBytes }] }),
          ...(large === true ? { folioSize: 4 * draft.pageBytes } : {}),
          ...(zero === true ? { fill: 'zero' } : {}),
        })),
      },
    };
  });

const subtree: fc.Arbitrary<StepMaker> = fc
  .record({ size: pages(3000), sameName: fc.integer({ min: 0, max: 9 }) })
  .map(({ size, sameName }) => (draft) => {
    const old = sameName === 9 ? draft.subtrees[0] : undefined;
    const name = old ?? fresh(draft, 'subtree');
    if (old === undefined) draft.subtrees.push(name);
    return { 'add subtree': { name, size } };
  });

/** What clients do that is right. */
const HONEST: readonly Weighted[] = [
  {
    weight: 6,
    arbitrary: fc.record({ order: order(6), count: pages(40) }).map((spec) => (draft) => ({
      'preserve folios': { ...spec, as: made(draft, 'folios') },
    })),
  },
  {
    weight: 3,
    arbitrary: pages(300).map((count) => (draft) => ({
      'preserve folios': { order: 0, count, scatter: true, as: made(draft, 'scattered') },
    })),
  },
  {
    weight: 4,
    arbitrary: pages(600).map((count) => (draft) => ({ 'preserve pages': { count, as: made(draft, 'pages') } })),
  },
  {
    weight: 4,
    arbitrary: fc.record({ size: pages(2 ** 22), huge: fc.boolean() }).map(({ size, huge }) => (draft) => ({
      'preserve vmalloc': { size: huge ? size * 4 : size, as: made(draft, 'area'), ...(huge ? { huge } : {}) },
    })),
  },
  { weight: 4, arbitrary: subtree },
  {
    weight: 1,
    arbitrary: index.map((at) => (draft) => {
      const name = pick(draft.subtrees, at);
      return name === undefined ? undefined : { 'remove subtree': name };
    }),
  },
  { weight: 4, arbitrary: session },
  { weight: 3, arbitrary: onSession('retrieve') },
  { weight: 1, arbitrary: onSession('finish') },
  { weight: 1, arbitrary: onSession('renew') },
  { weight: 3, arbitrary: onMemory('unpreserve') },
  { weight: 3, arbitrary: onMemory('preserve') },
  { weight: 2, arbitrary: onMemory('restore') },
  {
    weight: 2,
    arbitrary: fc.record({ at: index, offset: fc.nat(511) }).map(({ at, offset }) => (draft) => {
      const to = pick(draft.memory, at);
      return to === undefined ? undefined : { write: { to, offset } };
    }),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ order: order(4), count: pages(20) })
      .map((spec) => (draft) => ({ alloc: { ...spec, as: made(draft, 'spare') } })),
  },
];

const ALL_SITES = FAULT_SITES.map(({ site }) => site);

const fault: fc.Arbitrary<StepMaker> = fc
  .record({ at: fc.constantFrom(...ALL_SITES), nth: pages(6), next: fc.boolean() })
  .map(({ at, nth, next }) => () => ({ fault: { at, nth, ...(next ? { next } : {}) } }));

/** A failure, and right behind it a call that comes by. */
const aimedFault: fc.Arbitrary<StepMaker> = fc
  .record({ nth: pages(3), which: fc.nat(99), size: fc.integer({ min: 2 ** 20, max: 6 * 2 ** 20 }) })
  .map(({ nth, which, size }) => (draft) => {
    const [at, step] = AIMS[which % AIMS.length] ?? AIMS[0];
    return [{ fault: { at, nth } }, step(draft, size)];
  });

type Aim = readonly [string, (draft: Draft, size: number) => PlanStep];

/** More than one chunk: so large in large blocks, where there is so much memory. */
const area = (draft: Draft, size: number) => {
  const as = made(draft, 'area');
  const isHuge = size % 2 === 0 && draft.pageBytes === 4096 && draft.ramBytes >= 2 * 2 ** 30;
  return { 'preserve vmalloc': isHuge ? { size: '1026M', as, huge: true } : { size, as } };
};
const scattered = (draft: Draft) => ({
  'preserve folios': { order: 0, count: 20, scatter: true, as: made(draft, 'scattered') },
});

const blob = (draft: Draft, size: number): PlanStep => {
  const name = fresh(draft, 'subtree');
  draft.subtrees.push(name);
  return { 'add subtree': { name, size: size >>> 12 } };
};

const filled = (draft: Draft, size: number): PlanStep => {
  const name = fresh(draft, 'session');
  draft.sessions.push(name);
  return { session: { name, files: [{ token: 1, memfd: size >>> 4 }] } };
};

const AIMS: readonly [Aim, ...Aim[]] = [
  [VMALLOC_CHUNK_SITE, area],
  [RADIX_NODE_SITE, scattered],
  [BITMAP_SITE, scattered],
  [ALLOC_PRESERVE_SITE, blob],
  [ADD_SUBTREE_SITE, blob],
  [BLOCK_SITE, filled],
  [FREEZE_SITE, filled],
  [ALLOC_PAGES_SITE, area],
];

type Story = (draft: Draft, release: string) => readonly PlanStep[];

/** What goes wrong only in a certain order of kernels: each behind the one that runs, which may refuse the jump. */
const STORIES: readonly [Story, ...Story[]] = [
  // LUO's own node is left half made, by a kernel that has one.
  (_, release) => [{ fault: { at: ADD_SUBTREE_SITE, nth: 1, next: true } }, { kexec: { release } }],
  // Without LUO nobody finalises but who is told to.
  (draft, release) => [
    { kexec: { release, cmdline: `kho=on kho_scratch=${draft.scratch}` } },
    { 'preserve folios': { order: 1, count: 3, as: made(draft, 'folios') } },
    { kexec: { release: '6.18', finalize: false } },
  ],
  // The pages of blobs are somebody else's by the time they are read again; most of what lies there reads as no area at all.
  (draft) => {
    const names = [1, 2, 3, 4].map(() => made(draft, 'area'));
    return [
      ...names.map((as) => ({ 'preserve vmalloc': { size: 1, as } })),
      { kexec: {} },
      ...names.map((restore) => ({ restore })),
    ];
  },
  // 6.19 leaves no node of FLBs.
  () => [{ kexec: { release: '6.19' } }, { kexec: { release: '7.0' } }],
  // 6.18 maps the first page of a large block over and over.
  (draft) => [
    { kexec: { release: '6.18' } },
    { 'preserve vmalloc': { size: 6 * 2 ** 20, as: made(draft, 'area'), huge: true } },
    { kexec: {} },
  ],
  // 6.18 says that an area is preserved of which a chunk could not be had.
  (draft) => [
    { kexec: { release: '6.18' } },
    { fault: { at: VMALLOC_CHUNK_SITE, nth: 2 } },
    { 'preserve vmalloc': { size: 6 * 2 ** 20, as: made(draft, 'area') } },
    { kexec: {} },
  ],
  // Finalising fails, and what was preserved until then is forgotten.
  (draft) => [
    { kexec: { release: '6.18' } },
    { 'preserve folios': { order: 1, count: 3, as: made(draft, 'folios') } },
    { fault: { at: CHUNK_SITE, nth: 1 } },
    { kexec: {} },
    { kexec: {} },
  ],
];

const story: fc.Arbitrary<StepMaker> = fc.record({ which: fc.nat(99), release: fc.constantFrom('7.0', '6.19') }).map(
  ({ which, release }) =>
    (draft) =>
      (STORIES[which % STORIES.length] ?? STORIES[0])(draft, release),
);

/** A step that makes sense on certain machines alone: those draw it much oftener than others could afford to. */
interface Speciality {
  readonly fits: (draft: Draft) => boolean;
  /** How often, of a hundred times. */
  readonly percent: number;
  readonly steps: (draft: Draft, which: number) => PlanStep | readonly PlanStep[];
}

const SPECIALITIES: readonly Speciality[] = [
  {
    fits: ({ vastAt }) => vastAt !== undefined,
    percent: 100,
    steps: (draft, which) => {
      const size = ['1M', '8T', '9T'][which % 3];
      return { 'preserve pages': { at: draft.vastAt, size, as: made(draft, 'vast', false) } };
    },
  },
  // Long enough for a block of 2 GiB to be aligned in it.
  {
    fits: ({ pageBytes, ramBytes }) => pageBytes === 4096 && ramBytes >= 9 * 2 ** 30,
    percent: 60,
    steps: (draft, which) => {
      const size = ['4G', '3G'][which % 2];
      return { 'preserve pages': { size, as: made(draft, 'large', false) } };
    },
  },
  // More blocks of 2 MiB than one chunk has room for.
  {
    fits: ({ pageBytes, ramBytes }) => pageBytes === 4096 && ramBytes >= 2 * 2 ** 30,
    percent: 4,
    steps: (draft) => [
      { fault: { at: VMALLOC_CHUNK_SITE, nth: 2 } },
      { 'preserve vmalloc': { size: '1026M', as: made(draft, 'area'), huge: true } },
    ],
  },
  // So many regions that memblock's array does not fit into what the kernel's image leaves of scratch.
  {
    fits: ({ scratch }) => scratch === SCRATCH_TOO_SMALL_FOR_MEMBLOCK,
    percent: 20,
    steps: (draft) => ({
      'preserve folios': { order: 0, count: 40_000, every: '8K', as: made(draft, 'many', false) },
    }),
  },
];

const special: fc.Arbitrary<StepMaker> = fc
  .record({ percent: fc.nat(99), which: fc.nat(99) })
  .map(({ percent, which }) => (draft) => {
    let left = percent;
    for (const each of SPECIALITIES.filter(({ fits }) => fits(draft))) {
      if (left < each.percent) return each.steps(draft, which);
      left -= each.percent;
    }
    return undefined;
  });

/** Bytes that a write that never arrived leaves in a fresh page. */
const NOTHING = '00 00 00 00 00 00 00 00';

const IN_MEMORY = CORRUPT_TARGETS.filter(
  (what) => what !== 'subtree' && what !== 'bitmap' && !what.startsWith('handoff'),
);
const BOOT_VALUES = CORRUPT_TARGETS.filter((what) => what.startsWith('handoff'));

/** Where in its target: mostly at the front, where headers and pointers are. */
const place = fc.record({ word: fc.nat(48), byte: fc.nat(7), lost: fc.boolean() });

function changeAt({ word, byte, lost }: { word: number; byte: number; lost: boolean }) {
  return lost ? { offset: word * 8, bytes: NOTHING } : { offset: word * 8 + byte };
}

const corrupt: fc.Arbitrary<StepMaker> = fc.oneof<fc.WeightedArbitrary<StepMaker>[]>(
  {
    weight: 6,
    arbitrary: fc.record({ what: fc.constantFrom(...IN_MEMORY), at: place }).map(({ what, at }) => () => ({
      corrupt: { what, ...changeAt(at) },
    })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ what: fc.constantFrom(...BOOT_VALUES), at: place })
      .map(({ what, at: { word, byte, lost } }) => ({ pageBytes }) => ({
        corrupt: { what, value: word * pageBytes + (lost ? 0 : byte) },
      })),
  },
  {
    weight: 4,
    arbitrary: fc.record({ which: index, at: place }).map(({ which, at }) => (draft) => {
      const name = pick(draft.subtrees, which);
      return name === undefined ? undefined : { corrupt: { what: 'subtree', name, ...changeAt(at) } };
    }),
  },
);

/** What goes wrong: faults, corruption, and clients that don't keep to the rules. */
const WRONG: readonly Weighted[] = [
  { weight: 5, arbitrary: fault },
  { weight: 5, arbitrary: aimedFault },
  { weight: 3, arbitrary: story },
  { weight: 5, arbitrary: corrupt },
  {
    weight: 2,
    arbitrary: order(3).map((each) => (draft) => ({
      'preserve folios': { order: each, at: 'scratch', as: made(draft, 'inside', false) },
    })),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom('16M', '256M', '256M', '256M').map((size) => (draft) => {
      if (!draft.hasBorder) return undefined;
      return { 'preserve pages': { size, at: 'node-border', as: made(draft, 'border', false) } };
    }),
  },
  {
    weight: 4,
    arbitrary: order(4).map((each) => (draft) => ({
      'preserve folios': { order: each, at: draft.fixedAt, as: made(draft, 'fixed', false) },
    })),
  },
  {
    weight: 2,
    arbitrary: index.map((at) => (draft) => {
      const name = pick(draft.memory, at);
      // Twice, or what is not theirs: then it is the page allocator that breaks, and KHO has no part in it.
      if (name === undefined || draft.notTheirs.has(name) || draft.freed.has(name)) return undefined;
      draft.freed.add(name);
      return { free: name };
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ at: index, offset: fc.nat(511) }).map(({ at, offset }) => (draft) => {
      const to = pick(draft.memory, at);
      return to === undefined ? undefined : { damage: { to, offset } };
    }),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ count: fc.constantFrom(3, 12, 40, 60), every: fc.constantFrom('8K', '16K') })
      .map(({ count, every }) => (draft) => {
        if (draft.pageBytes !== 4096) return undefined;
        if (count * 1000 * Number.parseInt(every, 10) * 1024 > draft.ramBytes) return undefined;
        const as = made(draft, 'many', false);
        return { 'preserve folios': { order: 0, count: count * 1000, every, as } };
      }),
  },
  { weight: 20, arbitrary: special },
];

/** A step of the first phase, jumps not among them. */
export const randomStep: fc.Arbitrary<StepMaker> = fc.oneof(
  { weight: 3, arbitrary: fc.oneof(...HONEST) },
  { weight: 1, arbitrary: fc.oneof(...WRONG) },
);
