import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeKey, radixGeometry } from '../../../kernel/kho/geometry.ts';
import { RadixTree } from '../../../kernel/kho/radix-tree.ts';
import { type RadixCallbacks, RadixReader } from '../../../kernel/kho/radix-walk.ts';
import { bigOf } from '../../../kernel/kho/u64.ts';
import {
  ONES_FILL,
  type Order,
  PAGE_SIZES,
  type PageSize,
  type Pfn,
  type PhysAddr,
  PhysicalMemory,
  physAddr,
} from '../../../machine/index.ts';
import { BumpAllocator } from './bump-allocator.ts';

const GIB = 2 ** 30;

function setUp(page: PageSize) {
  const memory = new PhysicalMemory(page, [{ base: physAddr(0), sizeBytes: 64 * GIB, nid: 0 }]);
  const alloc = new BumpAllocator(memory, 32 * GIB);
  const tree = new RadixTree(memory, radixGeometry(page), alloc);
  tree.init();
  const root = tree.finalize();
  return { memory, tree, other: new RadixTree(memory, radixGeometry(page), alloc, { root }) };
}

type World = ReturnType<typeof setUp>;

/** Where the word of a block's bit is, found by going down as a kernel does. */
function wordOf({ memory, tree }: World, key: bigint): PhysAddr {
  const { geometry } = tree;
  let node = tree.finalize() as number;
  for (let level = geometry.depth - 1; level > 0; level--) {
    const index = Number((key >> BigInt(geometry.levelShifts[level] ?? 0)) & BigInt(geometry.slots - 1));
    node = memory.readU64(physAddr(node + 8 * index));
  }
  return physAddr(node + 4 * Number((key & BigInt(2 ** geometry.bitmapLog2 - 1)) >> 5n));
}

/** The ways in which a walk gives keys. */
type Kind = 'block' | 'leaf' | 'run';

/** Walks as a reader that has only the root, calling `onKey` for each key in turn. */
function walk({ memory, tree }: World, kind: Kind, onKey: (key: bigint) => void): void {
  const { geometry } = tree;
  const callbacks: Record<Kind, RadixCallbacks> = {
    block: {
      block: (lo, hi, order) => {
        const key = encodeKey(geometry, lo, hi, order);
        onKey(bigOf(key.lo, key.hi));
      },
    },
    leaf: {
      leaf: (lo, hi) => {
        onKey(bigOf(lo, hi));
        return 0;
      },
    },
    run: {
      run: (lo, hi, count) => {
        for (let i = 0; i < count; i++) onKey(bigOf(lo, hi) + BigInt(i));
        return 0;
      },
    },
  };
  new RadixReader(geometry).walkKeys(memory, tree.finalize(), callbacks[kind]);
}

describe.each(PAGE_SIZES)('a walk over a tree of $name pages whose callback writes into it', (page) => {
  const geometry = radixGeometry(page);
  const leafKeys = 2 ** geometry.bitmapLog2;
  const keyOf = (pfn: number, order = 0) => {
    const phys = pfn * page.sizeBytes;
    const key = encodeKey(geometry, phys >>> 0, Math.floor(phys / 2 ** 32), order);
    return bigOf(key.lo, key.hi);
  };
  const FIRST = keyOf(0);

  /** The pfns of order 0 that a walk gives when `write` is called at the block of pfn `at`. */
  function seenWith(kind: Kind, pfns: readonly number[], at: number, write: (world: World) => void): number[] {
    const world = setUp(page);
    for (const pfn of pfns) world.tree.preserve(pfn as Pfn, 0 as Order);
    const seen: number[] = [];
    walk(world, kind, (key) => {
      seen.push(Number(key - FIRST));
      if (seen.at(-1) === at) write(world);
    });
    return seen;
  }

  const set = (...pfns: number[]) => {
    return ({ tree }: World) => {
      for (const pfn of pfns) tree.preserve(pfn as Pfn, 0 as Order);
    };
  };

  /** Blocks so dense that a leaf's bits are listed, and few, whose words are. */
  const DENSE = Array.from({ length: Math.floor(leafKeys / 96) }, (_, i) => 96 * i);

  describe.each(['block', 'leaf', 'run'] as const)('for each %s', (kind) => {
    test('sees a bit set ahead: in its word, in an empty word, in a leaf that was not there', () => {
      expect(seenWith(kind, [40, 60], 40, set(41))).toEqual([40, 41, 60]);
      expect(seenWith(kind, [40, 500], 40, set(200, 600))).toEqual([40, 200, 500, 600]);
      expect(seenWith(kind, [40], 40, set(3 * leafKeys + 7))).toEqual([40, 3 * leafKeys + 7]);
    });

    test('does not see a bit set behind', () => {
      expect(seenWith(kind, [40, 60], 40, set(39, 7))).toEqual([40, 60]);
      expect(seenWith(kind, [leafKeys + 40, leafKeys + 60], leafKeys + 40, set(5))).toEqual([
        leafKeys + 40,
        leafKeys + 60,
      ]);
    });

    test('does not see a bit that was cleared ahead', () => {
      const clear = ({ tree }: World) => {
        for (const pfn of [41, 300, leafKeys]) tree.unpreserve(pfn as Pfn, 0 as Order);
      };
      expect(seenWith(kind, [40, 41, 42, 300, 301, leafKeys, leafKeys + 1], 40, clear)).toEqual([
        40,
        42,
        301,
        leafKeys + 1,
      ]);
    });

    test('sees what somebody else writes, and what goes to another place since a version was kept', () => {
      expect(seenWith(kind, [40, 60], 40, ({ other }) => void other.preserve(50 as Pfn, 0 as Order))).toEqual([
        40, 50, 60,
      ]);
      const raw = (world: World) => world.memory.writeU32(wordOf(world, keyOf(64)), 0b101);
      expect(seenWith(kind, [40, 60], 40, raw)).toEqual([40, 60, 64, 66]);
      const kept = (world: World) => {
        world.memory.mark();
        set(50, leafKeys)(world);
      };
      expect(seenWith(kind, [40, 60], 40, kept)).toEqual([40, 50, 60, leafKeys]);
    });

    test('sees each of many writes, also of trees that know their leaves', () => {
      // Each block preserves the next one, over three leaves.
      const pfns = Array.from({ length: 60 }, (_, i) => Math.floor((i * leafKeys) / 20));
      const world = setUp(page);
      world.tree.preserve(0 as Pfn, 0 as Order);
      const seen: number[] = [];
      walk(world, kind, (key) => {
        const next = pfns[seen.push(Number(key - FIRST))];
        if (next !== undefined) world.tree.preserve(next as Pfn, 0 as Order);
      });
      expect(seen).toEqual(pfns);
    });

    test('sees them in a leaf of many words too', () => {
      const expected = [...DENSE.slice(0, 3), 194, ...DENSE.slice(3), leafKeys - 1];
      expect(seenWith(kind, DENSE, 192, set(194, 5, leafKeys - 1)).join()).toBe(expected.join());
    });
  });

  test('sees a full word written ahead of a full one, and one that a tree writes that knew the leaf before', () => {
    const world = setUp(page);
    const { memory, tree } = world;
    tree.preserveRun(32 as Pfn, 0 as Order, 32);
    // The tree knows its leaf as of tick 1, where the walk begins.
    memory.generation = 0;
    tree.preserve(32 as Pfn, 0 as Order);
    expect(memory.generation).toBe(1);
    for (const kind of ['run', 'block'] as const) {
      const seen: number[] = [];
      walk(world, kind, (key) => {
        seen.push(Number(key - FIRST));
        if (seen.length === 1) tree.preserve((kind === 'run' ? 90 : 200) as Pfn, 0 as Order);
      });
      expect(seen.slice(32)).toEqual(kind === 'run' ? [90] : [90, 200]);
    }
  });

  test('goes down where the callback for a page of it wrote', () => {
    const world = setUp(page);
    const { memory, tree } = world;
    tree.preserve(40 as Pfn, 0 as Order);
    const keys: bigint[] = [];
    new RadixReader(geometry).walkKeys(memory, tree.finalize(), {
      node: (_phys, level) => {
        if (level === 0) memory.mark();
        if (level === 0) tree.preserve(3 as Pfn, 0 as Order);
        return 0;
      },
      leaf: (lo, hi) => {
        keys.push(bigOf(lo, hi) - FIRST);
        return 0;
      },
    });
    expect(keys).toEqual([3n, 40n]);
  });

  test('sees what is written ahead in pages at odd addresses and in fills, and copies them once', () => {
    const world = setUp(page);
    const { memory, tree } = world;
    for (const pfn of [64, 96, leafKeys + 40]) tree.preserve(pfn as Pfn, 0 as Order);
    const leaf = physAddr(wordOf(world, keyOf(0)));
    // The first leaf is read from 4 bytes on: each key is 32 less. The second becomes a fill, of ones.
    const table = [...memory.writtenPages()].flatMap((pfn) =>
      Array.from({ length: geometry.slots }, (_, i) => physAddr(pfn * page.sizeBytes + 8 * i)).filter(
        (slot) => memory.readU64(slot) === leaf,
      ),
    );
    for (const slot of table) memory.writeU64(slot, leaf + 4);
    memory.fillPages((wordOf(world, keyOf(leafKeys)) / page.sizeBytes) as Pfn, 1, ONES_FILL);
    let copies = 0;
    const readBytes = memory.readBytes.bind(memory);
    memory.readBytes = (...args) => {
      copies++;
      return readBytes(...args);
    };
    const seen: number[] = [];
    walk(world, 'leaf', (key) => {
      const index = Number(key - FIRST);
      seen.push(index);
      if (seen.length < 20) memory.writeU32(physAddr(leaf + 4 * (seen.length + 9)), 1);
      else memory.writeU32(physAddr(0), index);
    });
    expect(table).toHaveLength(1);
    expect(seen.slice(0, 4)).toEqual([32, 64, 288, 320]);
    expect(seen.filter((index) => index >= leafKeys)).toHaveLength(leafKeys);
    expect(copies).toBe(2);
  }, 20_000);

  test('gives the next key that is set then, whatever was written', () => {
    const candidates = [
      ...[0, 1, 2, 31, 32, 33, 63, 64, 200, leafKeys - 1, leafKeys, leafKeys + 5].map((pfn) => ({ pfn, order: 0 })),
      ...[0, 8, 16, 512, 8 * leafKeys].map((pfn) => ({ pfn, order: 3 })),
      ...[0, 1, 2].map((i) => ({ pfn: i * 2 ** (geometry.nrOrders - 4), order: geometry.nrOrders - 4 })),
    ].map(({ pfn, order }) => ({ pfn: pfn as Pfn, order: order as Order, key: keyOf(pfn, order) }));
    const which = fc.nat(candidates.length - 1);
    const write = fc.record({ which, how: fc.constantFrom('set', 'set', 'clear', 'by another', 'a version') });
    const run = fc.record({
      kind: fc.constantFrom<Kind>('block', 'leaf'),
      dense: fc.boolean(),
      initial: fc.array(which, { maxLength: 8 }),
      writes: fc.array(fc.array(write, { maxLength: 2 }), { maxLength: 20 }),
    });
    fc.assert(
      fc.property(run, ({ kind, dense, initial, writes }) => {
        const world = setUp(page);
        const model = new Set<bigint>();
        const apply = (n: number, how: string) => {
          const { pfn, order, key } = candidates[n] as (typeof candidates)[number];
          if (how === 'a version') world.memory.mark();
          else if (how === 'clear' && model.delete(key)) world.tree.unpreserve(pfn, order);
          else if (how !== 'clear') {
            model.add(key);
            (how === 'set' ? world.tree : world.other).preserve(pfn, order);
          }
        };
        for (const n of initial) apply(n, 'set');
        if (dense) {
          for (let i = 0; i < 260; i++) {
            model.add(keyOf(leafKeys + 32 * i));
            world.tree.preserve((leafKeys + 32 * i) as Pfn, 0 as Order);
          }
        }
        let at = 0;
        let previous = -1n;
        let expected: bigint | undefined;
        const next = () => {
          expected = undefined;
          for (const key of model) if (key > previous && (expected === undefined || key < expected)) expected = key;
        };
        next();
        walk(world, kind, (key) => {
          if (key !== expected) throw new Error(`${key} is not ${expected}`);
          for (const { which: n, how } of writes[at++] ?? []) apply(n, how);
          previous = key;
          next();
        });
        expect(expected).toBeUndefined();
      }),
      { numRuns: 40, seed: 3 },
    );
  });
});
