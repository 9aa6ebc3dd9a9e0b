import { LARGE, type NotShown, type Regression, SMALL, TWO_NODES } from './regression.ts';

/** Rows 1 to 31: KHO itself. */
export const KHO_REGRESSIONS: readonly Regression[] = [
  {
    row: 1,
    what: 'bitmaps in memory that the next kernel overwrites',
    bad: { release: '6.17.8' },
    good: { release: '6.17.9' },
    pageSize: '4K',
    shows:
      'KFENCE serves a bitmap of the second kernel, from its pool in scratch; the third has its own early memory there',
    fails: 'intact: cache: damaged',
    scenario: `${SMALL.replace('cmdline', 'config: { KFENCE: true }, cmdline')}
steps:
  - kexec
  - preserve folios: { order: 0, count: 50, as: cache }
  - kexec
expect: { intact: [cache] }`,
  },
  {
    row: 2,
    what: 'bitmaps of another size under the same name: the wrong pages come back',
    bad: { release: '6.17.8' },
    good: { release: '6.17.9' },
    pageSize: '4K',
    shows: '300 scattered folios; 6.17.9, which reads a page for each bitmap, takes over',
    fails: 'no struct page for pfn',
    scenario: `${SMALL}
steps:
  - preserve folios: { order: 0, count: 300, scatter: true, as: cache }
  - kexec: { release: "6.17.9" }
expect: { intact: [cache] }`,
  },
  {
    row: 3,
    what: 'the tree lacks a level with pages of 16K',
    bad: { release: '7.1-rc5' },
    good: { release: '7.1' },
    pageSize: '16K',
    shows: '20 folios; the key’s topmost bit has no table, and the next kernel finds other pages',
    fails: 'no struct page for pfn',
    scenario: `${SMALL}
steps:
  - preserve folios: { order: 0, count: 20, as: cache }
  - kexec
expect: { intact: [cache] }`,
  },
  {
    row: 5,
    what: 'the walk over a vmalloc chunk with every slot full reads past its end',
    bad: { release: '6.18', quirks: ['vmalloc-chunks-unbounded'] },
    good: { release: '6.18' },
    pageSize: '4K',
    shows: 'an area of three chunks; behind the first the next kernel takes what lies there for an address',
    fails: 'intact: table: leaked',
    scenario: `${SMALL}
steps:
  - preserve vmalloc: { size: 4M, as: table }
  - kexec
expect: { intact: [table] }`,
  },
  {
    row: 6,
    what: 'unpreserving a vmalloc area of a higher order leaves pages preserved',
    bad: { release: '6.18', quirks: ['vmalloc-unpreserved-by-page'] },
    good: { release: '6.18' },
    pageSize: '4K',
    shows: 'an area of 8M in huge pages, unpreserved again; the next kernel sets it aside for nobody',
    fails: 'leaked: kernel 2: 2048 pages',
    scenario: `${SMALL}
steps:
  - preserve vmalloc: { size: 8M, huge: true, as: table }
  - unpreserve: table
  - kexec`,
  },
  {
    row: 7,
    what: 'unpreserving never ends',
    bad: { release: '6.17.8' },
    good: { release: '6.18' },
    pageSize: '4K',
    shows: 'a folio that was never preserved is unpreserved (6.17 has the code, and no caller outside)',
    fails: 'outcome: oops (hangs: unpreserving a block that is not preserved',
    scenario: `${SMALL}
steps:
  - alloc: { order: 3, as: cache }
  - unpreserve: cache`,
  },
  {
    row: 8,
    what: 'a page of the chunk list is given to kfree()',
    bad: { release: '6.18' },
    good: { release: '6.19' },
    pageSize: '4K',
    shows: 'a finalisation runs out of memory at its second chunk; kfree() warns, and the first stays taken for ever',
    fails: 'warnings: 1, expected 0',
    scenario: `${SMALL}
steps:
  - preserve folios: { order: 0, count: 20 }
  - preserve folios: { order: 4, count: 20 }
  - fault: { at: chunk-list.alloc-chunk, nth: 2 }
  - kexec: {}
    expect: ENOMEM
expect: { outcome: refused, warnings: 0 }`,
  },
  {
    row: 9,
    what: 'a vmalloc area of a higher order comes back with one page repeated',
    bad: { release: '6.18' },
    good: { release: '6.19' },
    pageSize: '4K',
    shows: 'an area of 8M in huge pages; each block’s first page stands for all of them',
    fails: 'contents: damaged: kernel 2: 2044 pages',
    scenario: `${SMALL}
steps:
  - preserve vmalloc: { size: 8M, huge: true, as: table }
  - kexec
expect: { intact: [table] }`,
  },
  {
    row: 10,
    what: 'a range of several pages comes back as one compound page',
    bad: { release: '6.18' },
    good: { release: '6.19' },
    pageSize: '4K',
    shows: 'a range of 16 pages; it comes back with the order of its blocks',
    fails: 'order 4, preserved with 0',
    scenario: `${SMALL}
steps:
  - preserve pages: { count: 16, as: range }
  - kexec
expect: { intact: [range] }`,
  },
  {
    row: 11,
    what: 'restoring twice is not noticed',
    bad: { release: '6.17.9' },
    good: { release: '6.18' },
    pageSize: '4K',
    shows: 'a second restore of a folio; it succeeds',
    fails: 'restore: ok, expected ENOENT',
    scenario: `${SMALL}
steps:
  - preserve folios: { order: 0, as: cache }
  - kexec
  - restore: cache
    expect: ENOENT`,
  },
  {
    row: 12,
    what: 'restoring a page that was never preserved is accepted',
    bad: { release: '6.17.9' },
    good: { release: '6.18' },
    pageSize: '4K',
    shows: 'a restore of a page that this kernel allocated itself; it succeeds',
    fails: 'restore: ok, expected ENOENT',
    scenario: `${SMALL}
steps:
  - alloc: { order: 0, as: stranger }
  - restore: stranger
    expect: ENOENT`,
  },
  {
    row: 14,
    what: 'a NUMA node without memory turns KHO off',
    bad: { release: '6.18' },
    good: { release: '6.19' },
    pageSize: '4K',
    shows: 'a node that only has processors; there is no scratch to be had on it, and no handover',
    fails: 'lost: kernel 2: 20 pages',
    scenario: `${SMALL.replace('memory: 1G', 'memory: 1G, memorylessNodes: [1]')}
steps:
  - preserve folios: { order: 0, count: 20, as: cache }
  - kexec
expect: { intact: [cache] }`,
  },
  {
    row: 16,
    what: 'a map at address 0 is taken up',
    bad: { release: '6.19', quirks: ['empty-map-accepted'] },
    good: { release: '6.19' },
    pageSize: '4K',
    shows: 'a kexec without finalising; the next kernel takes scratch over, then does all that a cold boot does',
    fails: 'panic (scratch that is free memory is freed a second time)',
    scenario: `machine: { memory: 1G }
kernel: { KERNEL, cmdline: "kho=on kho_scratch=32M,32M,32M" }
steps:
  - kexec: { finalize: false }
expect: { outcome: cold-boot }`,
  },
  {
    row: 17,
    what: 'a block spans two NUMA nodes',
    bad: { release: '7.2', quirks: ['preserve-ignores-nodes'] },
    good: { release: '7.2' },
    pageSize: '4K',
    shows:
      'a range over a node border, struct pages initialised late; the pages of the second say that they are on the first',
    fails: 'on node 0 in place of 1',
    scenario: `${TWO_NODES.replace('cmdline', 'config: { DEFERRED_STRUCT_PAGE_INIT: true }, cmdline')}
steps:
  - preserve pages: { at: 0x60000000, size: 32M, as: guest }
  - kexec: { restore: none }
expect: { leaked: 8192 }`,
  },
  {
    row: 18,
    what: 'unpreserving does not split at node borders where preserving does',
    bad: { release: '7.1', quirks: ['unpreserve-ignores-nodes'] },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'a range over a node border is preserved and unpreserved; the next kernel sets its halves aside for nobody',
    fails: 'leaked: kernel 2: 8192 pages',
    scenario: `${TWO_NODES}
steps:
  - preserve pages: { at: 0x60000000, size: 32M, as: guest }
  - unpreserve: guest
  - kexec`,
  },
  {
    row: 19,
    what: 'a folio of 1 GiB is refused by the kernel that restores it',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'a folio of 1 GiB; it is preserved, and restoring it fails',
    fails: 'intact: guest: leaked',
    scenario: `${LARGE}
steps:
  - preserve folios: { size: 1G, at: 0x80000000, as: guest }
  - kexec
expect: { intact: [guest] }`,
  },
  {
    row: 20,
    what: 'the size of a block overflows an int',
    bad: { release: '7.1' },
    good: { release: '7.2' },
    pageSize: '4K',
    shows: 'a folio of 4 GiB; the reader reserves one byte, and the memory is given away',
    fails: 'contents: damaged: kernel 2: 1048575 pages',
    scenario: `${LARGE}
steps:
  - preserve folios: { size: 4G, at: 0x100000000, as: guest }
  - kexec
expect: { intact: [guest] }`,
  },
  {
    row: 21,
    what: 'struct pages are written that are not initialised yet',
    bad: { release: '7.1' },
    good: { release: '7.2' },
    pageSize: '4K',
    shows:
      'DEFERRED_STRUCT_PAGE_INIT (Kconfig forbids it up to 7.1); nobody initialises those of the pages that come back',
    fails: 'its struct page was never initialised',
    scenario: `${SMALL.replace('cmdline', 'config: { DEFERRED_STRUCT_PAGE_INIT: true }, cmdline')}
steps:
  - preserve folios: { order: 0, count: 50, scatter: true, as: cache }
  - kexec
expect: { intact: [cache] }`,
  },
  {
    row: 22,
    what: 'scratch loses its CMA migratetype to deferred initialisation',
    bad: { release: '7.1' },
    good: { release: '7.2' },
    pageSize: '4K',
    shows:
      'DEFERRED_STRUCT_PAGE_INIT (Kconfig forbids it up to 7.1); the second kernel allocates in scratch, and cannot preserve that',
    fails: 'preserve folios: EINVAL',
    scenario: `${SMALL.replace('cmdline', 'config: { DEFERRED_STRUCT_PAGE_INIT: true }, cmdline')}
steps:
  - kexec
  - preserve folios: { order: 0, count: 200, scatter: true, as: cache }`,
  },
  {
    row: 24,
    what: 'a subtree for which there is no room leaves half a node, and libfdt’s number as the error',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'adding a subtree fails once; the second attempt finds the half-made node of the first',
    fails: 'add subtree: 3, expected ENOMEM',
    scenario: `${SMALL}
steps:
  - fault: { at: kho.add-subtree }
  - add subtree: { name: config, size: 100 }
    expect: ENOMEM
  - add subtree: { name: config, size: 100 }
  - kexec
expect: { intact: [config] }`,
  },
  {
    row: 25,
    what: 'debugfs shows a blob as if it were an FDT',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'a blob of text; its second word is taken for its size, and reading the file goes on to the end of RAM',
    fails: 'read debugfs: oops',
    scenario: `${SMALL}
steps:
  - add subtree: { name: config, text: "net.ipv4.ip_forward = 1" }
  - read debugfs: config`,
  },
  {
    row: 26,
    what: 'scratch is not aligned as CMA wants it',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'areas of 33M; the pageblock that one ends in becomes CMA as a whole, with pages that are free already',
    fails: 'no log: Bad page state: BUG: Bad page state',
    scenario: `${SMALL.replace('32M,32M', '33M,33M')}
steps:
  - preserve folios: { order: 0, count: 20, as: cache }
expect: { no log: Bad page state }`,
  },
  {
    row: 28,
    what: 'a table entry leads to a freed node',
    bad: { release: '7.1', quirks: ['dangling-entry'] },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'no memory for the third node of a key; the next key goes down through a page that is no longer the tree’s',
    fails: 'outcome: oops',
    scenario: `${SMALL}
steps:
  - alloc: { order: 9, count: 4, as: cache }
  - fault: { at: radix.alloc-node, nth: 3 }
  - preserve: cache
    expect: ENOMEM
  - preserve: cache
  - kexec
expect: { intact: [cache] }`,
  },
  {
    row: 29,
    what: 'a finalisation that fails forgets what clients preserved',
    bad: { release: '6.18' },
    good: { release: '6.19' },
    pageSize: '4K',
    shows: 'a finalisation without memory for a chunk, then one with; the pages are gone',
    fails: 'intact: cache: damaged',
    scenario: `${SMALL}
steps:
  - preserve folios: { order: 0, count: 20, as: cache }
  - fault: { at: chunk-list.alloc-chunk }
  - kexec: {}
    expect: ENOMEM
  - kexec
expect: { intact: [cache] }`,
  },
  {
    row: 30,
    what: 'KHO is on in a crash kernel',
    bad: { release: '7.2' },
    good: { release: '7.3' },
    pageSize: '4K',
    shows: 'a crash kernel of 256M; scratch takes the memory that its dump needs',
    fails: 'alloc: ENOMEM',
    scenario: `machine: { memory: 256M }
kernel: { KERNEL, cmdline: "kho=on kho_scratch=32M,32M,32M elfcorehdr=0x48000000" }
steps:
  - alloc: { order: 9, count: 70, as: dump }`,
  },
  {
    row: 31,
    what: 'boot-time huge pages make scratch too large',
    bad: { release: '7.2' },
    good: { release: '7.3' },
    pageSize: '4K',
    shows: 'a huge page of 1 GiB; scratch is 2 GiB larger for it, and the memory is missed',
    fails: 'alloc: ENOMEM',
    scenario: `machine: { memory: 8G }
kernel: { KERNEL, cmdline: "kho=on hugepagesz=1G hugepages=1" }
steps:
  - alloc: { order: 10, total: 5500M, as: guest }`,
  },
];

/** Of these, what no scenario shows. */
export const KHO_NOT_SHOWN: readonly NotShown[] = [
  {
    row: 4,
    what: 'a key wider than the tree becomes another page’s',
    why: 'no caller makes such a key, since a page’s always fits: a test of the tree adds one (test/kernel/kho/radix-tree.test.ts)',
  },
  {
    row: 13,
    what: 'kmemleak scans scratch that is not mapped',
    why: 'khosim has no page tables that debug_pagealloc could take free pages out of, and no kmemleak that would scan them',
  },
  {
    row: 15,
    what: 'an early mapping is leaked when populate fails',
    why: 'early mappings are views of RAM in khosim and nothing counts them; in 6.17.8, 6.18, 6.19, 7.1, 7.2 and 7.3 every path gives them back',
  },
  {
    row: 23,
    what: 'KASAN reports a restored vmalloc area',
    why: 'khosim has no shadow memory; the area’s pages and content are the same with the bug',
  },
  {
    row: 27,
    what: 'allocation tags are wrong for restored pages',
    why: 'tags are beside struct pages, in page_ext, which khosim does not have; states and content are the same with the bug',
  },
];
