import { z } from 'zod';
import { LARGEST_MAX_PAGE_ORDER } from '../../kernel/config.ts';
import { FAULT_SITES } from '../../kernel/fault-sites.ts';
import { parseQuantity, QUANTITY_PATTERN } from './quantity.ts';
import { VERDICTS } from './result.ts';

/*
 * The language of scenario files. A file reads like a test plan: a machine, its first kernel, steps, and what must
 * come out. Every value is either a number of objects or a size in bytes, never a number of pages of unknown size, so
 * that one file runs at every page size.
 */

/** `64M`, `0x1000`, `4096`. */
const quantity = z
  .union([z.number().int().min(0).max(Number.MAX_SAFE_INTEGER), z.string().regex(QUANTITY_PATTERN)], {
    error: 'is not a size or address; write 4096, 0x1000, 64M or 2G',
  })
  // The pattern alone lets pass what is too big, or no whole number of bytes.
  .transform((value) => (typeof value === 'number' ? value : (parseQuantity(value) ?? Number.NaN)))
  .refine((value) => !Number.isNaN(value), { error: 'is no whole number of bytes from 0 to 2^53 - 1' })
  .describe('a number, or text such as 64M, 2G, 0x1000');

/** A u64 that may be full: a number, or hex text. The value is `0x` hex. */
const u64 = z
  .union([z.number().int().min(0), z.string().regex(/^0x[0-9a-fA-F]{1,16}$/)], {
    error: 'is not a 64-bit number; write 17 or 0x11',
  })
  .transform((value) => `0x${BigInt(value).toString(16)}`)
  .describe('a number, or 0x hex of up to 64 bits');

/** More than the page allocator of any configuration gives in one piece. */
const MAX_SUBTREE_BYTES = 2 ** 30;

const count = z.number().int().min(1).max(0x1_0000_0000);
const order = z.number().int().min(0).max(52).describe('log2 of a number of pages');
const objectName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, { error: 'is not a name: letters, digits, and - _ . inside' });
const names = z.union([objectName, z.array(objectName)], { error: 'is not a name or a list of names' });
const errnoName = z.string().regex(/^-?E[A-Z0-9]+$/, { error: 'is not an error; write e.g. ENOMEM' });
const hexBytes = z.string().regex(/^([0-9a-fA-F]{2}\s*)+$/, { error: 'is not bytes in hex; write e.g. "de ad be ef"' });

const PAGE_SIZE_NAMES = ['4K', '16K', '64K'] as const;
const pageSize = z.enum(PAGE_SIZE_NAMES);
const release = z.union([z.string(), z.number()]).transform(String).describe('a release in quotes: "7.3", "6.17.8"');

const quirks = z
  .array(z.string())
  .describe('code paths of old trees that the release is given back, by name: docs/regressions.md has them');

/** Build options; those of tests (LIVEUPDATE_TEST, TEST_KEXEC_HANDOVER) are off unless a file turns them on. */
const config = z.strictObject({
  KEXEC_HANDOVER_DEBUG: z.boolean().optional(),
  DEFERRED_STRUCT_PAGE_INIT: z.boolean().optional(),
  NUMA: z.boolean().optional(),
  KFENCE: z.boolean().optional(),
  MAX_PAGE_ORDER: z.number().int().min(3).max(LARGEST_MAX_PAGE_ORDER).optional(),
  LIVEUPDATE_TEST: z.boolean().optional(),
  TEST_KEXEC_HANDOVER: z.boolean().optional(),
});

const bank = z.strictObject({
  base: quantity,
  size: quantity,
  nid: z.number().int().min(0).max(63).default(0),
});

const machine = z.strictObject({
  arch: z.enum(['arm64', 'x86_64']).default('arm64'),
  pageSize: z
    .union([pageSize, z.array(pageSize).min(1)], { error: 'is not 4K, 16K, 64K, or a list of these' })
    .optional()
    .describe('one page size or several: the scenario runs once at each; all that the architecture has when left out'),
  memory: z
    .union(
      [quantity, z.array(bank).min(1), z.strictObject({ '4K': quantity, '16K': quantity, '64K': quantity }).partial()],
      {
        error: 'is not a size, a size for each page size, or a list of banks {base, size, nid}',
      },
    )
    .optional()
    .describe('an amount, laid out as on a QEMU board (one for each page size: { 4K: 512M, 64K: 4G }), or banks'),
  nodes: z.number().int().min(1).max(64).optional().describe('NUMA nodes that an amount of memory is split into'),
  memorylessNodes: z
    .array(z.number().int().min(0).max(63))
    .optional()
    .describe('NUMA nodes that have processors and no memory'),
  reserved: z
    .array(
      z.strictObject({
        base: quantity,
        size: quantity,
        count: z.number().int().min(1).max(4096).default(1).describe('so many ranges'),
        every: quantity.optional().describe('bytes from the start of one to the start of the next'),
      }),
    )
    .optional()
    .describe('ranges of memory that firmware keeps for itself'),
});

const fill = z
  .enum(['pattern', 'zero'])
  .describe('pattern: every page unlike any other; zero proves nothing and counts as untested');

/** Where things are put: everything optional, anywhere in free memory when nothing is said. */
const placement = {
  at: z
    .union([quantity, z.enum(['scratch', 'node-border'])], { error: 'is not an address, "scratch" or "node-border"' })
    .optional()
    .describe('an address; `scratch`: inside scratch area 0; `node-border`: half before, half behind a border'),
  nid: z.number().int().min(0).max(63).optional().describe('on this NUMA node'),
  as: objectName.optional().describe('what later steps and expectations call it'),
  fill: fill.optional(),
};

const folios = z.strictObject({
  order: order.optional(),
  size: quantity.optional().describe('bytes of one folio, in place of its order'),
  count: count.optional().describe('how many folios (1)'),
  total: quantity.optional().describe('bytes of all folios together, in place of their count'),
  every: quantity.optional().describe('bytes from the start of one to the start of the next'),
  scatter: z.boolean().optional().describe('at random places all over free memory'),
  ...placement,
});

const pages = z.strictObject({
  count: count.optional().describe('a contiguous range of so many pages'),
  size: quantity.optional().describe('bytes of the range, in place of the number of pages'),
  ...placement,
});

const vmalloc = z.strictObject({
  size: quantity,
  huge: z.boolean().optional().describe('VM_ALLOW_HUGE_VMAP: backed by blocks of a higher order'),
  as: objectName.optional(),
});

const file = z.strictObject({
  token: u64,
  memfd: quantity.describe('size in bytes'),
  fill: z.enum(['pattern', 'zero']).optional(),
  seals: z.array(z.enum(['SEAL', 'SHRINK', 'GROW', 'WRITE', 'FUTURE_WRITE', 'EXEC'])).optional(),
  pos: quantity.optional(),
  holes: z
    .array(z.strictObject({ at: quantity, size: quantity }))
    .optional()
    .describe('never written'),
  folioSize: quantity.optional().describe('large folios of this size behind it'),
});

/** A file of a session, by the token it was preserved under. */
const fileName = { session: z.string(), token: u64 };

const preserveFile = z.strictObject({
  session: z.string().describe('one that is open: made or retrieved in this kernel'),
  ...file.partial().shape,
  token: u64,
  of: z
    .strictObject(fileName)
    .optional()
    .describe('in place of a new memfd: the one that a session has already, by another descriptor'),
});

const finish = z.union(
  [
    z.string(),
    z.strictObject({ session: z.string(), reserved: z.number().int().describe('what the reserved field says (0)') }),
  ],
  { error: 'is not a session, or { session, reserved }' },
);

const subtree = z.strictObject({
  name: z.string().min(1).max(120),
  size: quantity
    .refine((value) => value <= MAX_SUBTREE_BYTES, { error: 'is more than the 1G that a blob may have' })
    .optional()
    .describe('bytes of a blob with a pattern of its own'),
  text: z.string().optional(),
});

const where = {
  to: objectName.optional().describe('an object'),
  page: z.number().int().min(0).optional().describe('which of its pages (0)'),
  at: quantity.optional().describe('an address, in place of an object'),
  offset: quantity.optional().describe('bytes from there'),
  bytes: hexBytes.optional(),
};

const kexec = z.strictObject({
  release: release.optional(),
  quirks: quirks.optional().describe('its quirks; without a release, those of the kernel before'),
  cmdline: z.string().optional(),
  config: config.optional(),
  pageSize: pageSize
    .optional()
    .describe('of the new kernel (that of the kernel before): another one no kernel supports, and none refuses'),
  finalize: z.boolean().optional().describe('up to 7.0: write 1 to debugfs kho/out/finalize first (true)'),
  restore: z
    .union([z.enum(['all', 'none']), z.array(objectName)], { error: 'is not all, none, or a list of names' })
    .optional()
    .describe('what clients restore in the new kernel (all)'),
  meanwhile: z
    .strictObject({ exit: z.string().describe('the program that has this session open exits') })
    .optional()
    .describe('what others do when LUO has written its sessions, before the jump'),
});

/** What the step `corrupt` can be aimed at. */
export const CORRUPT_TARGETS = [
  'fdt',
  'tree-root',
  'tree-node',
  'tree-leaf',
  'scratch-array',
  'chunk',
  'bitmap',
  'subtree',
  'session-files',
  'handoff-fdt',
  'handoff-fdt-len',
  'handoff-scratch',
  'handoff-scratch-len',
] as const;

const corrupt = z.strictObject({
  what: z.enum(CORRUPT_TARGETS),
  name: z.string().optional().describe('which subtree, or whose session’s files'),
  offset: quantity.optional().describe('bytes from its start (0)'),
  level: z.number().int().min(0).max(8).optional().describe('of the tree-node: leaves are 0 (one below the root)'),
  bytes: hexBytes.optional().describe('what to put there; one flipped bit when left out'),
  pointer: z
    .enum(['tree-root', 'tree-node', 'tree-leaf'])
    .optional()
    .describe('in place of bytes: the address of this page (tree-node: of the same level)'),
  times: z.number().int().min(1).max(8192).optional().describe('so often, one behind the other (1)'),
  value: quantity.optional().describe('of a handoff number'),
  stale: z
    .literal(true)
    .optional()
    .describe('in place of bytes: what is written to it from this step on, until the jump, never reaches RAM'),
  size: quantity.optional().describe('bytes that are stale, from the offset on: a cache line, say (all of it)'),
  replace: z.string().optional().describe('text to look for in it, first place; `bytes` or `with` take its place'),
  with: z.string().optional(),
});

/** The verbs. A step is an object with exactly one of them, and perhaps `expect`. */
const verbs = {
  'preserve folios': folios,
  'preserve pages': pages,
  'preserve vmalloc': vmalloc,
  alloc: folios.describe('allocate, not preserve'),
  preserve: names.describe('preserve again what was allocated, restored or unpreserved'),
  unpreserve: names,
  free: names.describe('give the memory back to the allocator'),
  restore: names.describe('let the client restore it now; done for all by the kexec step unless told otherwise'),
  'add subtree': subtree,
  'remove subtree': z.string(),
  'read debugfs': z.string().describe('a subtree, as debugfs shows it (kho/out/sub_fdts): it has to be the blob'),
  session: z.strictObject({ name: z.string(), files: z.array(file).default([]) }),
  retrieve: z.string().describe('a session: every file is retrieved and read back'),
  'preserve file': preserveFile.describe('one more file for a session'),
  'retrieve file': z.strictObject(fileName).describe('one file of a session that was retrieved, once more'),
  'read file': z.strictObject(fileName).describe('its program reads all of it: what it has to be, and nothing else'),
  'write file': z
    .strictObject({ ...fileName, offset: quantity.optional(), bytes: hexBytes.optional() })
    .describe('its program writes: the new content is what must come back'),
  finish: finish.describe('a session'),
  close: z.string().describe('the descriptor of a session'),
  renew: z.string().describe('a session: retrieved files go into a new one of the same name, the old is finished'),
  reclaim: z.strictObject({}).describe('memory pressure: clean pages of memfds that are not pinned are dropped'),
  'get flb': z.string().describe('somebody fetches an incoming FLB, and works with it from now on'),
  write: z.strictObject(where).describe('the owner writes: the new content is what must survive'),
  damage: z.strictObject(where).describe('somebody else writes: the checks must find it'),
  fault: z.strictObject({
    at: z.enum(FAULT_SITES.map(({ site }) => site)).describe('a place in the kernel where a call can be made to fail'),
    nth: z.number().int().min(1).default(1).describe('which such call from now: 1 is the next'),
    next: z.boolean().optional().describe('in the kernel that boots next, from its first call on'),
  }),
  corrupt: corrupt.describe('change what the old kernel left, at the moment of the next jump'),
  kexec,
  'kexec and return': z
    .strictObject({})
    .describe('x86_64: a kexec with preserve_context; the other kernel comes back, and nothing has changed'),
};

export type Verb = keyof typeof verbs;
export const VERBS = Object.keys(verbs) as Verb[];

type OptionalVerbs = { [V in Verb]: z.ZodOptional<(typeof verbs)[V]> };

const stepShape = {
  ...(Object.fromEntries(Object.entries(verbs).map(([name, shape]) => [name, shape.optional()])) as OptionalVerbs),
  expect: z
    .union([errnoName, z.enum(['ok', 'panic', 'oops'])], {
      error: 'is not ok, panic, oops, or an error such as ENOMEM',
    })
    .optional(),
};

function isOneStep(value: object): boolean {
  return Object.keys(value).filter((key) => key !== 'expect').length === 1;
}

const oneStep = { error: `is not one step: exactly one of ${VERBS.join(', ')}` };
const plainStep = z.strictObject(stepShape).refine(isOneStep, oneStep);

const step = z
  .strictObject({
    ...stepShape,
    repeat: z
      .strictObject({ times: z.number().int().min(1).max(1000), steps: z.array(plainStep).min(1) })
      .optional()
      .describe('do these steps so many times'),
  })
  .refine(isOneStep, oneStep);

const texts = z.union([z.string(), z.array(z.string())], { error: 'is not a text or a list of texts' });
const amount = z
  .union([z.number().int().min(0), z.literal('some')], { error: 'is not a number of pages, or "some"' })
  .describe('a number of pages, of the smallest that a kernel of the run has; or some');

const plainExpect = {
  outcome: z.enum(['handover', 'cold-boot', 'panic', 'oops', 'refused']).optional().describe('of the last kernel'),
  verdict: z.enum(VERDICTS).optional(),
  reason: z.string().optional().describe('text that the reason of the outcome contains'),
  intact: z.array(z.string()).optional().describe('objects and sessions that came back as they were'),
  damagedObjects: z.array(z.string()).optional().describe('exactly these were damaged'),
  damaged: amount.optional(),
  leaked: amount.optional(),
  lost: amount.optional().describe('pages without their reservation, or that nobody could restore'),
  phantom: amount.optional().describe('pages that were set aside although nobody had preserved them'),
  restored: amount.optional(),
  log: texts.optional().describe('the last kernel’s log contains it'),
  'no log': texts.optional(),
  'wrong state': amount.optional().describe('pages that came back with another order or reference count'),
  warnings: z.number().int().min(0).optional().describe('WARNs in the last kernel'),
  kexecCount: z.number().int().min(0).optional(),
  liveupdateNumber: z.number().int().min(0).optional(),
  scratch: z.array(quantity).optional().describe('sizes of the last kernel’s scratch areas, in their order'),
  revived: z.array(z.string()).optional().describe('reserve_mem regions, exactly these'),
  khoTest: z.enum(['ok', 'failed', 'absent']).optional(),
};

const expectation = z.strictObject({
  ...plainExpect,
  '4K': z.strictObject(plainExpect).optional().describe('other values at this page size'),
  '16K': z.strictObject(plainExpect).optional(),
  '64K': z.strictObject(plainExpect).optional(),
});

export const scenarioSchema = z.strictObject({
  name: z.string().min(1).describe('what happens, in a line'),
  about: z.string().optional().describe('what it shows, and where it comes from'),
  seed: z.number().int().min(0).optional(),
  machine: machine.prefault({}),
  kernel: z
    .strictObject({
      release: release.default('7.3'),
      quirks: quirks.default([]),
      cmdline: z.string().default('kho=on liveupdate=on'),
      config: config.optional(),
      earlyAllocations: quantity
        .optional()
        .describe(
          'bytes that kernels allocate early beside the memory map (0): they count for the default sizes of scratch',
        ),
    })
    .prefault({}),
  steps: z.array(step),
  expect: expectation.prefault({}),
});

/** A scenario file as it was read: checked, defaults filled in, quantities as numbers. */
export type ScenarioFile = z.output<typeof scenarioSchema>;
export type StepSpec = z.output<typeof plainStep>;
export type ExpectSpec = z.output<z.ZodObject<typeof plainExpect>>;
export type FoliosSpec = z.output<typeof folios>;
export type PagesSpec = z.output<typeof pages>;
export type VmallocSpec = z.output<typeof vmalloc>;
export type FileSpec = z.output<typeof file>;
export type SubtreeSpec = z.output<typeof subtree>;
export type WriteSpec = StepSpec['write'] & object;
export type KexecSpec = z.output<typeof kexec>;
export type CorruptSpec = z.output<typeof corrupt>;
export type ConfigSpec = z.output<typeof config>;

/** The JSON Schema of scenario files, for editors: what scenarios/scenario.schema.json holds. */
export function scenarioJsonSchema(): object {
  return {
    ...z.toJSONSchema(scenarioSchema, { io: 'input', target: 'draft-7' }),
    title: 'khosim scenario',
  };
}
