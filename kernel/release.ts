import type { PageSize } from '../machine/page-size.ts';
import { BLOCK_V4 } from './abi/block-v4.ts';
import { CHUNK_LIST_V1A, CHUNK_LIST_V1B } from './abi/chunk-list-v1.ts';
import {
  type BlockContract,
  CompiledAbi,
  type Contract,
  type FlbContract,
  type LuoContract,
  type MapContract,
  type MemblockContract,
  type MemfdContract,
  type MetadataContract,
  type ReserveMemContract,
  type RootContract,
  type ScratchContract,
  type SessionContract,
  type TestContract,
  type VmallocContract,
} from './abi/contract.ts';
import { KEXEC_METADATA_1 } from './abi/kexec-metadata-1.ts';
import { KHO_TEST_V1A, KHO_TEST_V1B } from './abi/kho-test-v1.ts';
import { KHO_RADIX_RFC_V1_ROOT, KHO_V1A, KHO_V1B } from './abi/kho-v1.ts';
import { KHO_V2, KHO_V3 } from './abi/kho-v3.ts';
import { KHO_V4 } from './abi/kho-v4.ts';
import { LUO_FLB_V1, LUO_SESSION_V2, LUO_V1A, LUO_V1B } from './abi/luo-v1.ts';
import { LUO_FLB_V5, LUO_SESSION_V5, LUO_V5 } from './abi/luo-v5.ts';
import { MEMBLOCK_V1, RESERVE_MEM_V1 } from './abi/memblock-v1.ts';
import { MEMFD_V1, MEMFD_V2 } from './abi/memfd.ts';
import { RADIX_RFC_V1, RADIX_V2, RADIX_V3, RADIX_V4 } from './abi/radix.ts';
import { SCRATCH_V1 } from './abi/scratch.ts';
import { VMALLOC_V1, VMALLOC_V2 } from './abi/vmalloc.ts';
import type { ReleaseQuirks } from './release-quirks.ts';

/** Log lines whose text differs between releases, without their `KHO: `. */
export interface ReleaseMessages {
  readonly foundHandover: string;
  /** The errno follows where `%d` stands. */
  readonly disablingRevival: string;
  readonly missingMap: string;
}

/** A kernel release: the contracts it composes, and what it does. Immutable. */
export interface Release {
  /** The first version with this behaviour, as on the command line: `6.17.9`, `7.1-rc5`, `7.3`. */
  readonly name: string;
  /** `uname -r` of a typical kernel of it. */
  readonly uts: string;
  readonly status: 'released' | 'candidate' | 'unreleased';
  /** One line on what is new in it. */
  readonly summary: string;
  readonly scratch: ScratchContract;
  readonly root: RootContract;
  readonly map: MapContract;
  readonly vmalloc: VmallocContract | undefined;
  readonly block: BlockContract | undefined;
  readonly metadata: MetadataContract | undefined;
  readonly luo: LuoContract | undefined;
  readonly session: SessionContract | undefined;
  readonly flb: FlbContract | undefined;
  readonly memfd: MemfdContract | undefined;
  readonly memblock: MemblockContract;
  readonly reserveMem: ReserveMemContract;
  readonly test: TestContract | undefined;
  readonly quirks: ReleaseQuirks;
  readonly messages: ReleaseMessages;
}

const V6_16: Release = {
  name: '6.16',
  uts: '6.16.12',
  status: 'released',
  summary: 'KHO appears: chunk list with 512-byte bitmaps, finalize, notifiers',
  scratch: SCRATCH_V1,
  root: KHO_V1A,
  map: CHUNK_LIST_V1A,
  vmalloc: undefined,
  block: undefined,
  metadata: undefined,
  luo: undefined,
  session: undefined,
  flb: undefined,
  memfd: undefined,
  memblock: MEMBLOCK_V1,
  reserveMem: RESERVE_MEM_V1,
  test: undefined,
  quirks: {
    pagePrivate: 'order',
    retrieveSizeIsInt: true,
    restoreChecksMaxOrder: true,
    restoresRangesAsFolios: true,
    restoresRootFdt: true,
    splitsAtNodes: false,
    unpreserveSplitsAtNodes: true,
    refusesWideKeys: false,
    radixLeavesDanglingEntry: false,
    unpreserveLoops: true,
    kfreesPages: false,
    failedInitFreesTree: false,
    checksScratchOverlap: false,
    finalize: 'before-load',
    abortForgetsAll: true,
    initcall: 'late',
    fdtChecksBlockAlignment: false,
    populateChecksMap: false,
    addSubtreeCleansUp: false,
    debugfsTrustsTotalsize: true,
    scratchNodes: 'online',
    scratchAlignment: 'pageblock',
    scratchRoundsGivenSizes: false,
    scratchSizeMayBeZero: false,
    scratchIgnoresHugetlb: false,
    initialisesDeferredPages: false,
    deferredInitForgetsCma: true,
    extendsScratch: false,
    disabledInKdump: false,
    vmallocRepeatsPages: false,
    vmallocUnpreservesByPage: false,
    vmallocChunksUnbounded: false,
    vmallocForgetsError: false,
    testIgnoresKhoOff: true,
    testReportsFailure: false,
    reserveMemExplains: false,
    memfdForgetsErrors: false,
    luoChecksDirection: false,
    luoChecksNames: false,
    luoOwnsFiles: false,
    luoFileErrorsFail: false,
    memfdCountsInInt: false,
    memfdPutsWrongFolios: false,
    memfdSavesFolioFlags: false,
    luoForgetsFailure: false,
    luoUnfreezeDropsHandle: false,
    luoForgetsAllocFailure: false,
    luoLocksSessions: false,
    luoSerializesForReturn: false,
    luoChecksReserved: false,
    flbCountsUsers: false,
    flbRemembersFailure: false,
  },
  messages: {
    foundHandover: 'found kexec handover data. Will skip init for some devices',
    disablingRevival: 'disabling KHO revival: %d',
    missingMap: 'failed to get preserved memory bitmaps',
  },
};

const V6_17_8: Release = {
  ...V6_16,
  name: '6.17.8',
  uts: '6.17.8',
  summary: 'test_kho joins; the map is still that of 6.16',
  test: KHO_TEST_V1A,
};

const V6_17_9: Release = {
  ...V6_17_8,
  name: '6.17.9',
  uts: '6.17.12',
  summary: 'bitmaps become a page each, under the same string',
  map: CHUNK_LIST_V1B,
  quirks: { ...V6_17_8.quirks, unpreserveLoops: false, kfreesPages: true },
};

const V6_18: Release = {
  ...V6_17_9,
  name: '6.18',
  uts: '6.18.15',
  summary: 'vmalloc areas; test_kho hands its list over in one; page->private gets a magic',
  vmalloc: VMALLOC_V1,
  test: KHO_TEST_V1B,
  quirks: {
    ...V6_17_9.quirks,
    pagePrivate: 'order-and-magic',
    checksScratchOverlap: true,
    scratchSizeMayBeZero: true,
    vmallocRepeatsPages: true,
    vmallocForgetsError: true,
    testIgnoresKhoOff: false,
  },
};

const V6_19: Release = {
  ...V6_18,
  name: '6.19',
  uts: '6.19.11',
  summary: 'LUO with sessions and memfd; the root FDT is there from the start and edited',
  root: KHO_V1B,
  luo: LUO_V1A,
  session: LUO_SESSION_V2,
  memfd: MEMFD_V1,
  quirks: {
    ...V6_18.quirks,
    restoresRangesAsFolios: false,
    restoresRootFdt: false,
    finalize: 'before-jump',
    abortForgetsAll: false,
    kfreesPages: false,
    initcall: 'fs',
    populateChecksMap: true,
    scratchNodes: 'with-memory',
    vmallocRepeatsPages: false,
    vmallocForgetsError: false,
    testReportsFailure: true,
    memfdForgetsErrors: true,
    memfdCountsInInt: true,
    memfdPutsWrongFolios: true,
    luoForgetsAllocFailure: true,
    luoSerializesForReturn: true,
  },
  messages: { ...V6_18.messages, foundHandover: 'found kexec handover data.' },
};

const V7_0: Release = {
  ...V6_19,
  name: '7.0',
  uts: '7.0.9',
  summary: 'LUO hands over FLBs, and refuses a predecessor without them, under the same string',
  vmalloc: VMALLOC_V2,
  luo: LUO_V1B,
  flb: LUO_FLB_V1,
};

const KHO_V2_MASTER: Release = {
  ...V7_0,
  name: 'kho-v2',
  uts: '7.0.0-rc0',
  status: 'unreleased',
  summary: 'the radix tree as merged, in the merge window of 7.1 only',
  root: KHO_V2,
  map: RADIX_V2,
  quirks: {
    ...V7_0.quirks,
    restoreChecksMaxOrder: false,
    finalize: 'none',
  },
  messages: { ...V7_0.messages, missingMap: 'failed to get preserved memory map' },
};

const V7_1_RC5: Release = {
  ...KHO_V2_MASTER,
  name: '7.1-rc5',
  uts: '7.1.0-rc5',
  status: 'candidate',
  summary: 'subtrees carry their size; kexec-metadata; memfd seals; the tree lacks a level with 16K pages',
  root: KHO_V3,
  metadata: KEXEC_METADATA_1,
  memfd: MEMFD_V2,
  quirks: {
    ...KHO_V2_MASTER.quirks,
    fdtChecksBlockAlignment: true,
    splitsAtNodes: true,
    addSubtreeCleansUp: true,
    debugfsTrustsTotalsize: false,
    scratchRoundsGivenSizes: true,
    reserveMemExplains: true,
    memfdForgetsErrors: false,
    luoChecksDirection: true,
    luoChecksNames: true,
    luoOwnsFiles: true,
    luoFileErrorsFail: true,
    memfdCountsInInt: false,
    memfdPutsWrongFolios: false,
    luoForgetsAllocFailure: false,
    luoLocksSessions: true,
    luoSerializesForReturn: false,
    flbCountsUsers: true,
  },
  messages: { ...KHO_V2_MASTER.messages, disablingRevival: 'disabling KHO revival' },
};

const V7_1: Release = {
  ...V7_1_RC5,
  name: '7.1',
  uts: '7.1.13',
  status: 'released',
  summary: 'the tree has its missing level with 16K pages, under the same string',
  map: RADIX_V3,
};

const V7_2: Release = {
  ...V7_1,
  name: '7.2',
  uts: '7.2.12',
  summary: 'linked blocks, hence kho-v4; LUO becomes one raw struct with everything else in blocks',
  root: KHO_V4,
  block: BLOCK_V4,
  luo: LUO_V5,
  session: LUO_SESSION_V5,
  flb: LUO_FLB_V5,
  quirks: {
    ...V7_1.quirks,
    retrieveSizeIsInt: false,
    scratchAlignment: 'max-order',
    initialisesDeferredPages: true,
    luoChecksReserved: true,
    flbRemembersFailure: true,
    deferredInitForgetsCma: false,
  },
};

const V7_3: Release = {
  ...V7_2,
  name: '7.3',
  uts: '7.3.4',
  summary: 'the same bytes; keys that are too wide are refused; scratch is extended early in the boot',
  map: RADIX_V4,
  quirks: {
    ...V7_2.quirks,
    refusesWideKeys: true,
    failedInitFreesTree: true,
    scratchIgnoresHugetlb: true,
    extendsScratch: true,
    disabledInKdump: true,
  },
};

/** The posted patch, on the tree of its time. What the series did beside the map is inferred from its description. */
const KHO_RADIX_RFC_V1: Release = {
  ...V6_17_8,
  name: 'kho-radix-rfc-v1',
  uts: '6.17.0-rfc',
  status: 'unreleased',
  summary: 'the first posted radix tree: another map under another property, and still kho-v1',
  root: KHO_RADIX_RFC_V1_ROOT,
  map: RADIX_RFC_V1,
  quirks: { ...V6_17_8.quirks, finalize: 'none', abortForgetsAll: false, initcall: 'fs', restoresRootFdt: false },
};

/** The releases (and one release candidate) with an ABI or a behaviour of their own, oldest first. */
export const RELEASES: readonly Release[] = [V6_16, V6_17_8, V6_17_9, V6_18, V6_19, V7_0, V7_1_RC5, V7_1, V7_2, V7_3];

/** What never was in a release: the merge window's kho-v2, and the patch as first posted. */
export const UNRELEASED: readonly Release[] = [KHO_V2_MASTER, KHO_RADIX_RFC_V1];

/** The newest release: what runs when nobody says otherwise. */
export const LATEST_RELEASE: Release = V7_3;

interface Version {
  readonly series: string;
  readonly patch: number;
  /** Number of a release candidate, undefined for the release itself. */
  readonly candidate: number | undefined;
}

function parseVersion(name: string): Version | undefined {
  const match = /^v?(\d+\.\d+)(?:\.(\d+))?(?:-rc(\d+))?(?:[-+ ].*)?$/.exec(name);
  if (match?.[1] === undefined) return undefined;
  return {
    series: match[1],
    patch: Number(match[2] ?? 0),
    candidate: match[3] === undefined ? undefined : Number(match[3]),
  };
}

/**
 * Finds the release that a name stands for: its own name, or any kernel version that behaves like it, as `uname -r`
 * prints it (`6.18.15`, `7.3.4-200.fc44.aarch64`, `7.1-rc3`). Undefined for what KHO never was in, or what is newer than
 * the newest release known here.
 */
export function releaseByName(name: string): Release | undefined {
  const exact = [...RELEASES, ...UNRELEASED].find((release) => release.name === name);
  if (exact !== undefined) return exact;
  const version = parseVersion(name);
  if (version === undefined) return undefined;
  const { series, patch, candidate } = version;
  if (series === '6.17') return candidate === undefined && patch >= 9 ? V6_17_9 : V6_17_8;
  if (series === '7.1') return candidate !== undefined && candidate <= 5 ? V7_1_RC5 : V7_1;
  return RELEASES.find((release) => release.name === series);
}

/** A release that must be there. @throws RangeError for a name that `releaseByName` does not know. */
export function knownRelease(name: string): Release {
  const release = releaseByName(name);
  if (release !== undefined) return release;
  throw new RangeError(`there is no release '${name}': ${RELEASES.map((each) => each.name).join(', ')}`);
}

/** All contracts of a release, in reading order. */
export function contractsOf(release: Release): readonly Contract[] {
  const all = [
    release.scratch,
    release.root,
    release.map,
    release.vmalloc,
    release.block,
    release.metadata,
    release.luo,
    release.session,
    release.flb,
    release.memfd,
    release.memblock,
    release.reserveMem,
    release.test,
  ];
  return all.filter((contract) => contract !== undefined);
}

const compiled = new WeakMap<Release, Map<string, CompiledAbi>>();

/** A release's contracts compiled for a page size; made once and kept. */
export function abiOf(release: Release, page: PageSize): CompiledAbi {
  let byPage = compiled.get(release);
  if (byPage === undefined) compiled.set(release, (byPage = new Map()));
  const key = `${page.shift}/${page.physBits}`;
  let abi = byPage.get(key);
  if (abi === undefined) byPage.set(key, (abi = new CompiledAbi(contractsOf(release), page)));
  return abi;
}
