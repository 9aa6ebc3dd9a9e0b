/** One point of the review: what was asked, what the posted patch had, what was merged. In our own words. */
export interface ReviewPoint {
  readonly asked: string;
  readonly posted: string;
  readonly merged: string;
  /** Names a piece of evidence of the review document. */
  readonly evidence?: string;
}

/** What the contracts say of the two forms, filled into the points. */
export interface ReviewFacts {
  readonly postedString: string;
  readonly mergedString: string;
  readonly postedProperty: string;
  readonly mergedProperty: string;
  readonly postedDepth: string;
  readonly mergedDepth: string;
  readonly fixedDepth: string;
  readonly postedLevels: string;
  readonly mergedLevels: string;
}

/** The 21 points of October 2025, in the order of the review. */
export function reviewPoints(facts: ReviewFacts): readonly ReviewPoint[] {
  return [
    {
      asked: 'The layout is another one, so the version has to be another one',
      posted: `still \`${facts.postedString}\``,
      merged: `\`${facts.mergedString}\``,
      evidence: 'A',
    },
    {
      asked: 'A format between kernels belongs into a header, not into the code that walks it',
      posted: 'spelled out where it is used',
      merged: 'a header of its own, with its documentation',
    },
    {
      asked: 'Name of the property that holds the root',
      posted: `\`${facts.postedProperty}\``,
      merged: `\`${facts.mergedProperty}\`, as before the tree`,
      evidence: 'A',
    },
    { asked: 'The drawing is of 4K pages: say so', posted: 'not said', merged: 'said' },
    {
      asked: 'Type of a table entry',
      posted: '`unsigned long`',
      merged: '`u64`: the width is part of the format',
    },
    {
      asked: 'Addresses and pointers told apart by type',
      posted: 'casts',
      merged: 'wrappers for a while; in the end plain conversions at the borders',
    },
    {
      asked: 'Depth and order bit computed in one place, and without room for an order written as a number',
      posted: `depth ${facts.postedDepth}`,
      merged: `depth ${facts.mergedDepth}: the bit that marks the order is not counted; since 7.1-rc6 ${facts.fixedDepth}`,
      evidence: 'B',
    },
    {
      asked: 'Why blocks of different orders can share tables',
      posted: 'not said',
      merged: 'a paragraph: the order is a bit of the key, so keys of one order lie together',
    },
    {
      asked: 'The width of `long` in the encoding',
      posted: 'used',
      merged: '64, written out; since 7.3 as the width of a key',
    },
    {
      asked: 'Types on decoding, and why the marker need not be masked',
      posted: 'mixed types',
      merged: 'a physical address; the shift pushes the marker out at the top',
    },
    { asked: 'Numbering of levels', posted: facts.postedLevels, merged: facts.mergedLevels },
    { asked: 'Index of a level', posted: 'by constants that mask', merged: 'modulo the slots of a table' },
    { asked: 'Atomic bit operations without anybody to race', posted: 'atomic', merged: 'plain, under a mutex' },
    { asked: 'Signs', posted: '`int`', merged: 'unsigned throughout' },
    { asked: 'Order of steps when a table is missing', posted: 'an `else` that moves on', merged: 'one straight path' },
    {
      asked: 'The bitmap handled inside the walk of tables',
      posted: 'nested in it',
      merged: 'left to the level above the leaves',
    },
    {
      asked: 'The key that the walk puts together does not look right',
      posted: 'an offset carried unshifted and shifted at each level: odd, and right',
      merged: 'the start of a table plus its slot, shifted by the level',
      evidence: 'C',
    },
    {
      asked: 'A reader has to get the order back out of the key',
      posted: 'one marker bit per order',
      merged: 'the same',
      evidence: 'C',
    },
    {
      asked: 'What the reader keeps per block, and sizes of 2 GiB and more',
      posted: '`int` sizes; the bare order in page->private',
      merged: '64-bit sizes; order and magic, so that a second restore is noticed',
    },
    {
      asked: 'Memory runs out in the middle of an insertion',
      posted: 'new tables stay linked, or leak',
      merged: 'the table that was linked last is taken out again',
    },
    {
      asked: 'memblock calls inside the tree',
      posted: 'there',
      merged: 'in a callback, so that the tree can serve others (7.3 extends scratch with it)',
    },
  ];
}
