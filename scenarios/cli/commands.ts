import type { CommandSpec, OptionSpec } from './command.ts';

/*
 * Every command of khosim. To build one: write scenarios/cli/NAME.ts with a CommandRun that parses, calls and prints,
 * and give its entry here a `load`. An entry without one says loudly that it is not built.
 */

const IMAGE_OPTIONS: readonly OptionSpec[] = [
  { flags: '--ram-base <addr>', description: 'where raw RAM begins (an image without a header)' },
  { flags: '--fdt <addr,len>', description: 'where the root FDT lies: ADDR or ADDR,LEN' },
  { flags: '--scratch <addr,len>', description: 'where the scratch array lies: ADDR,LEN' },
  { flags: '--page-size <size>', description: '4K, 16K or 64K; from the image, or deduced, when not given' },
  { flags: '--patch <phys:hex>', description: 'change bytes before reading, PHYS:HEX', repeatable: true },
  { flags: '--fdt-len <bytes>', description: 'the FDT size that firmware passes' },
  { flags: '--scratch-len <bytes>', description: 'the scratch array size that firmware passes' },
];

const REPORT: OptionSpec = { flags: '--report <file>', description: 'write an HTML report' };
const PAGE_SIZES: OptionSpec = { flags: '--page-sizes <list>', description: 'e.g. 4K,16K,64K (all three)' };

export const COMMANDS: readonly CommandSpec[] = [
  {
    name: 'run',
    summary: 'run scenarios, handover by handover, and check what came out',
    args: [['[scenarios...]', 'scenario files, or names from `khosim list`; without any, the default scenario']],
    options: [
      { flags: '--page-size <list>', description: 'run at these page sizes in place of the scenario’s: 4K,16K,64K' },
      { flags: '--format <format>', description: 'form of the result', choices: ['human', 'json', 'ktap', 'junit'] },
      REPORT,
      { flags: '--trace <file>', description: 'write the timeline for a trace viewer' },
      {
        flags: '--export <dir>',
        description: 'write RAM at the last jump as khosim-sparse-1, and what inspect says of it',
      },
      { flags: '--jobs <n>', description: 'run in this many workers (1)' },
      { flags: '--shard <i/n>', description: 'run the i-th of n parts of the list' },
    ],
    load: async () => (await import('./run.ts')).runCommand,
    more: 'Examples:\n  khosim run\n  khosim run ten-hops --page-size 64K --json\n  khosim run mine.yaml --export out/',
  },
  {
    name: 'list',
    summary: 'name the scenarios of the library',
    load: async () => (await import('./list.ts')).listCommand,
  },
  {
    name: 'inspect',
    summary: 'read a handover out of a memory image, and audit it',
    args: [['<image>', 'khosim-sparse-1 (image.json), an ELF core, raw RAM, or a debugfs directory']],
    options: [{ flags: '--list', description: 'list every preserved block in walk order' }, REPORT, ...IMAGE_OPTIONS],
    load: async () => (await import('./inspect.ts')).inspectCommand,
  },
  {
    name: 'boot',
    summary: 'boot a simulated kernel on the memory in an image',
    args: [['<image>', 'as for inspect']],
    options: [
      { flags: '--release <release>', description: 'the kernel that boots, e.g. 7.3' },
      { flags: '--cmdline <text>', description: 'its command line (kho=on liveupdate=on)' },
      { flags: '--config <name=value>', description: 'a build option: NAME=y, =n or =NUMBER', repeatable: true },
      ...IMAGE_OPTIONS,
    ],
    load: async () => (await import('./boot.ts')).run,
  },
  {
    name: 'replay',
    summary: 'replay a trace of operations, and print every state',
    args: [
      ['<kind>', 'radix or memory'],
      ['<trace>', 'the trace file'],
    ],
    options: [
      { flags: '--page-size <size>', description: '4K, 16K or 64K' },
      { flags: '--results', description: 'print the result of each operation' },
      { flags: '--digests-only', description: 'print digests in place of whole states' },
      { flags: '--no-numa', description: 'a kernel without NUMA' },
    ],
    load: async () => (await import('./replay.ts')).replayCommand,
  },
  {
    name: 'matrix',
    summary: 'hand over between all pairs of releases',
    options: [
      { flags: '--releases <list>', description: 'e.g. 7.1,7.2,7.3 (all)' },
      PAGE_SIZES,
      { flags: '--workload <name>', description: 'core, clients, or a name (core)' },
      { flags: '--cross-page-size', description: 'also from one page size to another' },
      REPORT,
      { flags: '--jobs <n>', description: 'run in this many workers (one for each core)' },
      { flags: '--shard <i/n>', description: 'run the i-th of n parts' },
    ],
    load: async () => (await import('./matrix.ts')).run,
  },
  {
    name: 'compare',
    summary: 'what the same workload costs at each page size',
    options: [
      PAGE_SIZES,
      { flags: '--workload <name>', description: 'a workload’s name, or a scenario file (vm-host)' },
      REPORT,
    ],
    load: async () => (await import('./compare.ts')).compareCommand,
    more:
      'Workloads: one-page, vm-host, many-sessions, page-cache, reserve-mem, sweep;\n' +
      'page-cache-1t and huge-1t (1 TiB). Or any scenario: its last handover counts.\n' +
      'Examples:\n  khosim compare\n  khosim compare --workload page-cache --page-sizes 4K,64K --json',
  },
  {
    name: 'abi list',
    summary: 'name every contract and release',
    load: async () => (await import('./abi.ts')).abiListCommand,
  },
  {
    name: 'abi show',
    summary: 'show a contract: structs, constants, properties',
    args: [['<name>', 'a contract (kho-v4), a release (7.1), or a proposal file']],
    options: [
      { flags: '--page-size <size>', description: '4K, 16K or 64K' },
      { flags: '--format <format>', description: 'table or kernel-doc', choices: ['table', 'kernel-doc'] },
    ],
    load: async () => (await import('./abi.ts')).abiShowCommand,
  },
  {
    name: 'abi diff',
    summary: 'what changes between two contracts',
    args: [
      ['<a>', 'a contract, release or proposal file'],
      ['<b>', 'another'],
    ],
    load: async () => (await import('./abi.ts')).abiDiffCommand,
  },
  {
    name: 'abi check',
    summary: 'whether a change breaks the contract, proved by handovers both ways',
    args: [
      ['<a>', 'a contract, release or proposal file'],
      ['<b>', 'another'],
    ],
    options: [
      { flags: '--golden <dir>', description: 'compare with golden bytes kept there' },
      { flags: '--format <format>', description: 'form of the result', choices: ['ktap', 'junit'] },
    ],
    more: `A proposal is a file that names its base and what it changes:

  base: "7.3"
  bump: { kho-v4: kho-v5 }        # leave it out, and see what that does
  changes:
    - struct: kho_block_header_ser
      add: { name: flags, type: u64 }
      before: count
    - { struct: luo_file_ser, field: token, set: { type: u32 } }
    - { constant: KHO_MAX_BLOCKS, set: 20000 }
    - { property: blob-size, set: { type: u32 } }
    - geometry: depth
      set: divRoundUp(KEY_WIDTH - BITMAP_LOG2, TABLE_LOG2) + 2

or a .js module with \`export const base\` and \`export function propose(draft)\`.
Exit code 1: breaking without the bump, or golden bytes that moved.`,
    load: async () => (await import('./abi.ts')).abiCheckCommand,
  },
  {
    name: 'fuzz',
    summary: 'random scenarios with faults, until one goes wrong',
    options: [
      { flags: '--runs <n>', description: 'how many' },
      { flags: '--for <time>', description: 'how long, e.g. 60s or 10m' },
      { flags: '--jobs <n>', description: 'in this many workers (one for each core)' },
      { flags: '--find <bugs>', description: 'until these known bugs are found: names with commas, or all' },
      { flags: '--path <path>', description: 'the one scenario that shrinking a seed came to' },
    ],
    load: async () => (await import('./fuzz.ts')).fuzzCommand,
    more: `Bugs of the kernels that are listed (docs/fuzz.md) are counted, and are no
failure. Anything else ends the search: it is shrunk to the smallest scenario
that still shows it, written to fuzz-SEED.yaml, and the exit code is 1. --seed
says where to begin. With --find each bug that is seen is shrunk and written to
fuzz-BUG.yaml; what is not found in time makes the exit code 1.`,
  },
  {
    name: 'explain',
    summary: 'what is known about one page, or one kind of finding',
    args: [['[subject]', 'an image or a scenario; --finding does without']],
    options: [
      { flags: '--page <addr>', description: 'the page at this address' },
      { flags: '--finding <code>', description: 'what a code means, and the findings with it' },
      ...IMAGE_OPTIONS,
    ],
    load: async () => (await import('./inspect.ts')).explainCommand,
  },
];
