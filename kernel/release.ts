import type { PageSize } from '../machine/page-size.ts';
import { BLOCK_V4 } from './abi/block-v4.ts';
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
import { KHO_TEST_V1B } from './abi/kho-test-v1b.ts';
import { KHO_V4 } from './abi/kho-v4.ts';
import { LUO_FLB_V5, LUO_SESSION_V5, LUO_V5 } from './abi/luo-v5.ts';
import { MEMBLOCK_V1, RESERVE_MEM_V1 } from './abi/memblock-v1.ts';
import { MEMFD_V2 } from './abi/memfd-v2.ts';
import { RADIX_V4 } from './abi/radix-v4.ts';
import { SCRATCH_V1 } from './abi/scratch-v1.ts';
import { VMALLOC_V2 } from './abi/vmalloc-v2.ts';

/** What a release does that another does not, beyond its bytes. Code asks for the quirk, never for the release. */
export interface ReleaseQuirks {
  /** What the retrieving walk leaves in the head page's `private`. */
  readonly pagePrivate: 'order' | 'order-and-magic';
  /** Restoring refuses orders above MAX_PAGE_ORDER. */
  readonly restoreChecksMaxOrder: boolean;
  /** preserve_pages lowers orders until a block lies on one NUMA node. */
  readonly splitsAtNodes: boolean;
  /** Adding a key wider than the tree is -ERANGE instead of an alias of another key. */
  readonly refusesWideKeys: boolean;
  /** `before-load`: kexec load ignores KHO until finalised; `before-jump`: finalised any time before; `none`: no such step. */
  readonly finalize: 'before-load' | 'before-jump' | 'none';
  /** populate refuses a root FDT without map property or with a map of 0. */
  readonly populateChecksMap: boolean;
  /** Which NUMA nodes get a scratch area. */
  readonly scratchNodes: 'online' | 'with-memory';
  /** What scratch areas are aligned to: a pageblock, or the largest buddy order. */
  readonly scratchAlignment: 'pageblock' | 'max-order';
  /** `kho_scratch=` accepts a size of 0 as long as not all are. */
  readonly scratchSizeMayBeZero: boolean;
  /** Boot-time huge pages do not count for the default scratch size. */
  readonly scratchIgnoresHugetlb: boolean;
  /** Gigabytes without preserved memory become scratch early in the boot. */
  readonly extendsScratch: boolean;
  /** A kdump kernel turns KHO off. */
  readonly disabledInKdump: boolean;
}

/** Log lines whose text differs between releases. */
export interface ReleaseMessages {
  readonly foundHandover: string;
}

/** A kernel release: the contracts it composes, and what it does. Immutable. */
export interface Release {
  /** The first version with this behaviour, as on the command line: `6.17.9`, `7.1-rc5`, `7.3`. */
  readonly name: string;
  /** `uname -r` of a typical kernel of it. */
  readonly uts: string;
  readonly status: 'released' | 'candidate' | 'unreleased';
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

const V7_3: Release = {
  name: '7.3',
  uts: '7.3.4',
  status: 'released',
  scratch: SCRATCH_V1,
  root: KHO_V4,
  map: RADIX_V4,
  vmalloc: VMALLOC_V2,
  block: BLOCK_V4,
  metadata: KEXEC_METADATA_1,
  luo: LUO_V5,
  session: LUO_SESSION_V5,
  flb: LUO_FLB_V5,
  memfd: MEMFD_V2,
  memblock: MEMBLOCK_V1,
  reserveMem: RESERVE_MEM_V1,
  test: KHO_TEST_V1B,
  quirks: {
    pagePrivate: 'order-and-magic',
    restoreChecksMaxOrder: false,
    splitsAtNodes: true,
    refusesWideKeys: true,
    finalize: 'none',
    populateChecksMap: true,
    scratchNodes: 'with-memory',
    scratchAlignment: 'max-order',
    scratchSizeMayBeZero: true,
    scratchIgnoresHugetlb: true,
    extendsScratch: true,
    disabledInKdump: true,
  },
  messages: { foundHandover: 'found kexec handover data.' },
};

/** Every release with an ABI of its own, oldest first. */
export const RELEASES: readonly Release[] = [V7_3];

/** The newest release: what runs when nobody says otherwise. */
export const LATEST_RELEASE: Release = V7_3;

/** Finds a release by its name, or by any version that behaves like it; undefined when there is none. */
export function releaseByName(name: string): Release | undefined {
  return RELEASES.find((release) => release.name === name || release.uts === name);
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
