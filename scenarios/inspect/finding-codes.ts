/**
 * error: some kernel that could have written this handover, or whose string it carries, would lose or corrupt memory,
 * or crash. warning: no kernel writes it so, or somebody's data cannot be vouched for. note: worth knowing.
 */
export type Severity = 'error' | 'warning' | 'note';

/** What there is to know about a finding code, for documentation and `explain --finding`. */
export interface FindingCodeInfo {
  /** The usual severity; a finding may be graver or milder. */
  readonly severity: Severity;
  /** What is wrong. */
  readonly meaning: string;
  /** What a kernel does with it. */
  readonly kernel: string;
  /** How khosim found it. */
  readonly found: string;
}

function code(severity: Severity, meaning: string, kernel: string, found: string): FindingCodeInfo {
  return { severity, meaning, kernel, found };
}

/** Every code that `inspect` can report. */
export const FINDING_CODES = {
  // --- the image and the handoff ------------------------------------------------------------------------------------
  'page-size-deduced': code(
    'note',
    'The image does not tell the page size; it was deduced.',
    'A kernel never asks: it reads the handover with its own page size.',
    'All three page sizes were tried; the one that leaves the fewest contradictions was taken.',
  ),
  'handoff-searched': code(
    'note',
    'The image does not tell where the handoff is; RAM was searched for it.',
    'Firmware or purgatory tells the kernel (setup_data, /chosen).',
    'A page-aligned FDT whose compatible begins with kho-, and an array of RAM ranges.',
  ),
  'handoff-missing': code(
    'error',
    'There is no handoff: neither image nor options tell where the root FDT is, and none was found.',
    'Boots cold, without a message.',
    'No FDT address.',
  ),
  'handoff-fdt-length': code(
    'warning',
    'The FDT length that is handed over is not the page size.',
    'Maps so many bytes early; the length is not compared with totalsize. Zero, or more than the early mapping slots hold, is a WARN and a cold boot.',
    'Length against page size.',
  ),
  'not-in-image': code(
    'warning',
    'Metadata lies in RAM that the image does not carry: it was read as zeroes.',
    'Would read what is there; the image cannot tell.',
    'A pointer into RAM outside all extents of the image.',
  ),
  'read-budget': code(
    'warning',
    'The memory holds more metadata than inspect reads; what follows was not looked at.',
    'Has no such limit, and may work for very long.',
    'The budget of bytes or blocks ran out.',
  ),

  // --- scratch ------------------------------------------------------------------------------------------------------
  'scratch-array-unreadable': code(
    'error',
    'The scratch array is empty, not in RAM, or too long.',
    'Cannot map it: "disabling KHO revival", boots cold, everything is lost.',
    'Address and length of the handoff.',
  ),
  'scratch-array-length': code(
    'warning',
    'The length of the scratch array is not that of three or more entries: low memory, global, one for each node with memory.',
    'Uses as many whole entries as there are; the other areas become ordinary memory that early boot does not use.',
    'Length of the handoff divided by 16.',
  ),
  'scratch-array-place': code(
    'warning',
    'The scratch array does not lie in a scratch area.',
    "kexec_file_load places all segments in scratch; elsewhere the array may lie in somebody's memory.",
    'Address of the array against its own entries.',
  ),
  'scratch-outside-ram': code(
    'error',
    'A scratch area is not RAM.',
    'Adds it to memblock, allocates from it, and oopses.',
    'Each entry against the RAM banks.',
  ),
  'scratch-alignment': code(
    'warning',
    'A scratch area is not page-aligned.',
    'Rounds pageblocks; memory at the edges is treated as scratch and as ordinary.',
    'Address and size of each entry.',
  ),
  'scratch-pageblock': code(
    'note',
    'A scratch area is not aligned to the pageblock that is usual for this page size.',
    '6.16 did not round sizes; a kernel with a smaller MAX_PAGE_ORDER has smaller pageblocks.',
    'Address and size of each entry.',
  ),
  'scratch-overlap': code(
    'error',
    'Two scratch areas overlap.',
    'Releases the same pageblocks twice.',
    'All entries against each other.',
  ),
  'scratch-none': code(
    'error',
    'All scratch areas are empty.',
    'Has no memory to allocate from before the walk: panics early.',
    'Sizes of all entries.',
  ),

  // --- root FDT -----------------------------------------------------------------------------------------------------
  'fdt-unreadable': code(
    'error',
    'The root FDT is not in RAM.',
    'Cannot map it or faults: boots cold or oopses.',
    'Address of the handoff.',
  ),
  'fdt-alignment': code(
    'warning',
    'An FDT does not start at a page.',
    'Every kernel puts it at the start of a page. Not aligned to 8 bytes: libfdt refuses it.',
    'Its address.',
  ),
  'fdt-header': code(
    'error',
    'The header of an FDT is refused by libfdt.',
    'Root FDT: boots cold, everything is lost. Subtree: its client fails.',
    'fdt_check_header of each generation of libfdt.',
  ),
  'fdt-version': code(
    'warning',
    'An FDT is not version 17, last compatible 16, boot CPU 0.',
    'Reads versions 2 to 17, but never writes others.',
    'Header fields.',
  ),
  'fdt-totalsize': code(
    'error',
    'An FDT claims to be larger than the memory that is preserved for it.',
    'Never compares: reads on into whatever lies behind.',
    'totalsize against the preserved block (root FDT: the page).',
  ),
  'fdt-structure': code(
    'error',
    'The structure of an FDT is broken.',
    'libfdt stops where it notices; look-ups may fail or find half of it.',
    'Every token, name and string offset is checked.',
  ),
  'fdt-reserve-map': code(
    'warning',
    'The reserve map of an FDT is not empty.',
    'KHO never looks at it; every kernel writes it empty.',
    'Entries before the terminator.',
  ),
  'fdt-unknown-property': code(
    'warning',
    'A node has a property that no release writes there.',
    'Ignores it.',
    'Names of all properties.',
  ),
  'fdt-duplicate': code(
    'error',
    'Two nodes, or two properties of a node, have one name.',
    'Finds the first; the other is lost.',
    'All names of a parent.',
  ),
  'root-fdt-not-preserved': code(
    'error',
    'The page of the root FDT is not preserved.',
    'Reads it for as long as clients retrieve their subtrees, while the page allocator may hand it out.',
    'Its page against the map.',
  ),
  'compatible-missing': code(
    'error',
    'The root FDT has no compatible, or it is not a terminated string.',
    'Boots cold, everything is lost.',
    'Property of the root node.',
  ),
  'compatible-unknown': code(
    'error',
    'No release knows the compatible string of the root FDT.',
    'Every release refuses it and boots cold; everything is lost.',
    'The table of releases.',
  ),
  'map-missing': code(
    'error',
    'The root FDT has no preserved-memory-map.',
    '6.19 and later boot cold; up to 6.18 the handover is accepted and nothing is reserved.',
    'Property of the root node.',
  ),
  'map-size': code(
    'error',
    'preserved-memory-map is not 8 bytes long.',
    'As if it were not there.',
    'Length of the property.',
  ),
  'map-zero': code(
    'error',
    'preserved-memory-map is 0.',
    '6.19 and later boot cold; up to 6.18 the handover is accepted and nothing is reserved (it was never finalized).',
    'Value of the property.',
  ),
  'map-ambiguous': code(
    'note',
    'The bytes fit more than one layout of this compatible string.',
    'Each release reads its own layout.',
    'Every layout that goes by this string was tried.',
  ),

  // --- radix tree ---------------------------------------------------------------------------------------------------
  'radix-node-outside-ram': code(
    'error',
    'A table of the radix tree points outside RAM.',
    'Oopses in the walk.',
    'Each slot against the RAM banks.',
  ),
  'radix-node-alignment': code(
    'error',
    'A table of the radix tree points into the middle of a page.',
    'Reads the words from there on: nonsense keys, lost keys, and usually an oops.',
    'Each slot.',
  ),
  'radix-node-shared': code(
    'error',
    'A node of the radix tree is reached twice (a cycle, if from below itself).',
    'Walks it each time, with a different key prefix: phantom pages.',
    'The walk remembers every node.',
  ),
  'radix-node-in-scratch': code(
    'error',
    'A node of the radix tree lies in scratch.',
    'Allocates from there before it walks: the node is overwritten.',
    'Each node against the scratch areas.',
  ),
  'radix-node-preserved': code(
    'error',
    'A page is a node of the radix tree and preserved memory at once.',
    "Preserves a client's page whose content is the tree, or the client's content is walked.",
    'Each node against the blocks it leads to.',
  ),
  'radix-key': code(
    'error',
    'A key has no valid order marker, or is wider than keys of this page size.',
    'Decodes it to a nonsense order and address; usually an oops, or a huge reservation.',
    'Highest set bit of each key.',
  ),

  // --- chunk list ---------------------------------------------------------------------------------------------------
  'chunk-outside-ram': code(
    'error',
    'A chunk or bitmap of the memory map is not in RAM.',
    'Oopses in the walk.',
    'Each pointer against the RAM banks.',
  ),
  'chunk-alignment': code(
    'error',
    'A chunk is not page-aligned, or a bitmap not aligned to its size.',
    'Reads the words from there on.',
    'Each pointer.',
  ),
  'chunk-cycle': code(
    'error',
    'The list of chunks comes back to a chunk that it has been at.',
    'Walks it for ever: the boot hangs.',
    'The walk remembers every chunk.',
  ),
  'chunk-count': code(
    'error',
    'A chunk counts more entries than a page holds.',
    'Reads entries from the page behind it.',
    'num_elms against the capacity.',
  ),
  'chunk-order': code(
    'error',
    'The order of a chunk is one that the readers get wrong.',
    'Computes the size of a block as an int: it overflows from 2 GiB up. Restore refuses orders above MAX_PAGE_ORDER.',
    "Each chunk's order.",
  ),
  'chunk-disorder': code(
    'warning',
    'Orders or bitmaps are not in ascending order, or one occurs twice.',
    'Does not mind the order; the writer always keeps it.',
    'Each chunk and entry against the one before it.',
  ),
  'chunk-phys-start': code(
    'error',
    'An entry does not start at a multiple of what a bitmap reaches.',
    'Takes it as it is: all blocks of the bitmap are shifted.',
    'phys_start of each entry.',
  ),
  'bitmap-shared': code(
    'error',
    'Two entries share a bitmap, or bitmaps overlap.',
    'Reads it twice: phantom pages.',
    'All bitmaps against each other.',
  ),
  'chunk-in-scratch': code(
    'error',
    'A chunk or bitmap lies in scratch.',
    'Allocates from there before it walks: the map is overwritten. Bitmaps from slab could, before 6.17.9.',
    'Each page against the scratch areas.',
  ),
  'chunk-preserved': code(
    'error',
    'A page is a chunk or bitmap and preserved memory at once.',
    "A client's page whose content is the memory map.",
    'Each page against the blocks.',
  ),

  // --- preserved blocks ---------------------------------------------------------------------------------------------
  'preserved-outside-ram': code(
    'error',
    'A preserved block is not wholly in RAM.',
    'Writes the struct page of memory that is not there: an oops; or loses the part inside.',
    'Each block against the RAM banks.',
  ),
  'preserved-overlap': code(
    'error',
    'Preserved blocks overlap.',
    "The smaller order, walked last, wins the head page's metadata; restoring both is two owners of a page.",
    'A sweep over all blocks by address.',
  ),
  'preserved-in-scratch': code(
    'error',
    'Preserved memory lies in scratch.',
    'Its image, initrd and early allocations overwrite it. With KEXEC_HANDOVER_DEBUG the old kernel refuses to preserve it.',
    'Each block against the scratch areas.',
  ),
  'preserved-unowned': code(
    'warning',
    'Nothing that inspect can decode points at a preserved block.',
    'Keeps it reserved; nobody restores it: a leak, or a client that khosim does not know.',
    'All blocks minus those that a client claims.',
  ),
  'preserved-twice-owned': code(
    'error',
    'Two clients, or one client twice, claim a preserved block.',
    'The first restore wins; the second finds no magic and fails, or both use the memory.',
    'Claims of all clients.',
  ),

  // --- subtrees -----------------------------------------------------------------------------------------------------
  'subtree-property': code(
    'error',
    "A subtree's node lacks a property that its ABI needs, or it has a wrong length.",
    'Retrieving it is -EINVAL: its client fails; LUO panics.',
    'Properties of each child of the root.',
  ),
  'subtree-unknown': code(
    'warning',
    'No client in the kernel has a subtree of this name.',
    'Nobody retrieves it. Its pages stay reserved.',
    'Names of all children of the root.',
  ),
  'subtree-outside-ram': code(
    'error',
    "A subtree's address is 0 or not in RAM.",
    'Its client dereferences it: an oops.',
    'Address of each subtree.',
  ),
  'subtree-alignment': code(
    'warning',
    'A subtree does not start at a page.',
    'Every in-tree client hands over whole pages; restoring it finds no magic.',
    'Address of each subtree.',
  ),
  'subtree-not-preserved': code(
    'error',
    "A subtree's memory is not preserved.",
    'The page allocator hands it out before the client reads it: corrupt.',
    'Address and size against the map.',
  ),

  // --- clients: memblock and kexec-metadata ---------------------------------------------------------------------------
  'memblock-compatible': code(
    'error',
    'The memblock subtree, or a region in it, has an unknown compatible.',
    'Does not revive: allocates the region afresh, its content is lost.',
    'compatible of each node.',
  ),
  'reserve-mem-property': code(
    'error',
    'A reserve_mem region lacks start or size, or they are not 8 bytes.',
    'Does not revive it.',
    'Properties of each region.',
  ),
  'reserve-mem-range': code(
    'error',
    'A reserve_mem region is empty, not page-aligned, or not in RAM.',
    'Takes start and size as they are.',
    'start and size of each region.',
  ),
  'reserve-mem-not-preserved': code(
    'error',
    'A reserve_mem region is not wholly preserved.',
    'Names memory that the page allocator hands out: corrupt.',
    'The range against the map.',
  ),
  'metadata-size': code(
    'error',
    'The kexec-metadata blob is shorter than its struct.',
    'Ignores it: previous release and kexec count are lost.',
    'blob-size.',
  ),
  'metadata-version': code('error', 'kexec-metadata has another version.', 'Warns and ignores it.', 'First field.'),
  'metadata-release': code(
    'warning',
    'previous_release is empty, not terminated, or no release that could have written this handover.',
    'Prints it.',
    'The string against the releases whose ABI fits.',
  ),
  'metadata-count': code(
    'warning',
    'kexec_count is 0, or below the number of live updates.',
    'Takes it. The first handover says 1.',
    'Last field.',
  ),

  // --- vmalloc ------------------------------------------------------------------------------------------------------
  'vmalloc-first': code(
    'error',
    'A vmalloc descriptor that should have pages has no first chunk.',
    'Restoring it fails.',
    'first is 0.',
  ),
  'vmalloc-chunk': code(
    'error',
    'A vmalloc chunk is not in RAM, not page-aligned, or reached twice.',
    'Oopses, or restores pages twice and fails.',
    'Each next pointer.',
  ),
  'vmalloc-chunk-not-preserved': code(
    'error',
    'A vmalloc chunk is not preserved as a single page.',
    'Restoring fails: the whole area is lost.',
    'Each chunk against the map.',
  ),
  'vmalloc-page-not-preserved': code(
    'error',
    'A page block of a vmalloc area is not preserved, or with another order.',
    'Restoring fails: the whole area is lost.',
    'Each entry against the map.',
  ),
  'vmalloc-count': code(
    'error',
    'The chunks hold more or fewer pages than total_pages says.',
    'Restoring fails: the whole area is lost.',
    'Entries times pages each, against total_pages.',
  ),
  'vmalloc-order': code(
    'error',
    'The order of a vmalloc area is absurd.',
    'Shifts by it as it is.',
    'order against the RAM size.',
  ),
  'vmalloc-flags': code(
    'warning',
    'A vmalloc descriptor has flags that no release writes.',
    'Drops them silently.',
    'flags.',
  ),
  'vmalloc-chunk-tail': code(
    'warning',
    'A vmalloc chunk has entries behind its terminating zero, or is not full though another follows.',
    'Stops at the zero and goes on with the next chunk.',
    'Slots of each chunk.',
  ),

  // --- test_kho -----------------------------------------------------------------------------------------------------
  'test-format': code(
    'error',
    'The subtree of test_kho is not as its release writes it.',
    'test_kho reports "KHO restore failed".',
    'compatible, magic and the properties of its data node.',
  ),
  'test-folio': code(
    'error',
    'A folio of test_kho is not preserved with the order that its list says.',
    'test_kho stops there and its checksum fails.',
    'Each entry against the map.',
  ),
  'test-checksum': code(
    'error',
    "The checksum of test_kho's folios is not the one it recorded.",
    'test_kho reports "KHO restore failed": memory was damaged.',
    'The checksum of this architecture over all folios.',
  ),

  // --- serialization blocks ------------------------------------------------------------------------------------------
  'block-pointer': code(
    'error',
    'A serialization block is not in RAM or not page-aligned.',
    'Oopses when it reads the chain.',
    'Each next pointer.',
  ),
  'block-cycle': code(
    'error',
    'A chain of serialization blocks is cyclic, or longer than 10000 blocks.',
    'Sessions: panics. Files: every open of /dev/liveupdate is -EIO.',
    'The walk remembers every block.',
  ),
  'block-count': code(
    'error',
    'A serialization block holds 0 entries or more than fit.',
    'Sessions: panics. Files: every open of /dev/liveupdate is -EIO.',
    'count against the capacity.',
  ),
  'block-not-preserved': code(
    'error',
    'A serialization block is not preserved as a single page.',
    'The page allocator may hand it out before it is read; freeing it WARNs.',
    'Each block against the map.',
  ),

  // --- LUO ----------------------------------------------------------------------------------------------------------
  'luo-size': code(
    'error',
    'The LUO blob is shorter than its struct.',
    'Panics: "incoming tree failed to initialize".',
    'blob-size.',
  ),
  'luo-compatible': code(
    'error',
    "LUO, its session node or its FLB node has another compatible than this release's.",
    'Panics: "incoming tree failed to initialize".',
    'The strings.',
  ),
  'luo-property': code(
    'error',
    "LUO's FDT lacks a node or property, or it has a wrong length.",
    'Panics: "incoming tree failed to initialize".',
    'The nodes and properties of LUO v1.',
  ),
  'luo-flb-node': code(
    'note',
    "LUO's FDT has no FLB node, as 6.19 writes it.",
    '6.19 reads it; 7.0 panics on it although every string matches.',
    'The node luo-flb.',
  ),
  'luo-header': code(
    'error',
    "The header of LUO's sessions or FLBs is not in RAM, not preserved, or counts more than fit.",
    'Reads whatever is there: an oops or nonsense sessions.',
    'Pointer and count.',
  ),
  'luo-number': code(
    'warning',
    'The live update number is 0.',
    'Takes it. The first live update says 1.',
    'liveupdate_num.',
  ),
  'session-name': code(
    'error',
    "A session's name is empty or not terminated.",
    'A session that nobody can ask for, or a name that runs on.',
    'The name field.',
  ),
  'session-duplicate': code(
    'error',
    'Two sessions have one name.',
    'Every open of /dev/liveupdate is -EIO: all sessions are lost.',
    'All names.',
  ),
  'session-files': code(
    'error',
    'The number of files in a session is not the number that it counts.',
    'No chain but a count: a WARN and an empty session. Another mismatch: every open of /dev/liveupdate is -EIO.',
    'count against the entries.',
  ),
  'file-compatible': code(
    'error',
    'A preserved file has no handler in the releases that could read this, or its string is not terminated.',
    'Every open of /dev/liveupdate is -EIO (6.19 to 7.1: the session loses its files).',
    'compatible against the releases.',
  ),
  'file-token': code(
    'error',
    'Two files of a session have one token.',
    'Retrieves the first; the other cannot be reached.',
    'All tokens of a session.',
  ),
  'flb-name': code(
    'error',
    "An FLB's name is empty, not terminated, or occurs twice.",
    'Finds the first, or none.',
    'All names.',
  ),
  'flb-count': code(
    'warning',
    'An FLB is used by 0 files, or by more files than there are.',
    'Starts its reference count from it: freed too early or never.',
    'count against all files.',
  ),
  'flb-pages': code('warning', 'The FLB header does not say 1 page.', 'Ignores the number.', 'pgcnt.'),

  // --- memfd --------------------------------------------------------------------------------------------------------
  'memfd-struct': code(
    'error',
    "A memfd's struct is at 0, not in RAM, or not at a page.",
    'Oopses, or the file is -EINVAL.',
    'data of the file entry.',
  ),
  'memfd-struct-not-preserved': code(
    'error',
    "A memfd's struct is not preserved as a single page.",
    'The page allocator may hand it out before it is read.',
    'Its page against the map.',
  ),
  'memfd-seals': code('error', 'A memfd has seals that no release knows.', 'Retrieving it is -EOPNOTSUPP.', 'seals.'),
  'memfd-flags': code('warning', 'The flags of a memfd are not 0.', 'Ignores them.', 'flags.'),
  'memfd-size': code(
    'error',
    "A memfd's size or position is beyond the largest file.",
    'Takes the size as it is; the position stays 0.',
    'size and pos.',
  ),
  'memfd-folio-count': code(
    'error',
    'A memfd counts more folios than its array holds, or more than UINT_MAX.',
    'Reads on behind the array: an oops.',
    'nr_folios against total_pages.',
  ),
  'memfd-array-size': code(
    'warning',
    "A memfd's folio array is longer than its count needs.",
    'Reads the count; what lies behind is not restored.',
    'nr_folios against total_pages.',
  ),
  'memfd-folio-not-preserved': code(
    'error',
    'A folio of a memfd is not preserved.',
    'Retrieving the file is -EIO.',
    'Each folio against the map.',
  ),
  'memfd-folio-index': code(
    'error',
    'A folio lies at an index that its size does not allow, or where another one lies.',
    'Inserting it in the page cache is a BUG or -EEXIST: the file is lost.',
    'index of each folio.',
  ),
  'memfd-folio-beyond': code(
    'warning',
    'A folio lies wholly behind the end of its memfd.',
    'Keeps it in the page cache.',
    'index of each folio against size.',
  ),
  'memfd-folio-flags': code(
    'error',
    'A folio is not marked up to date (it reads as zeroes after retrieval), not dirty, or has flags that no release writes.',
    'UPTODATE clear: the content reads as zeroes. DIRTY clear: it may be dropped under memory pressure.',
    'flags of each folio.',
  ),
  'memfd-hole': code(
    'warning',
    "Some of a memfd's pages have no folio. Holes are filled when a file is preserved, so no kernel leaves any.",
    'They read as zeroes.',
    'Indices of all folios against size.',
  ),
  'memfd-hash': code(
    'note',
    'The content of a memfd or region was not hashed.',
    'Does not hash.',
    'It is not all there, or more than the budget allows.',
  ),
} as const satisfies Record<string, FindingCodeInfo>;

export type FindingCode = keyof typeof FINDING_CODES;
