import { type RadixContract, type RadixNumbers, radixNumbersOf } from '../../kernel/abi/contract.ts';
import { PAGE_SIZES, type PageSize } from '../../machine/index.ts';

/** Bytes as people say them: `128 MiB`, `2 GiB`. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && value % 1024 === 0 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value} ${units[unit]}`;
}

interface KeyPart {
  readonly label: string;
  readonly high: number;
  readonly low: number;
}

function keyParts({ depth, tableLog2, bitmapLog2 }: RadixNumbers, leafLevel: number): KeyPart[] {
  const parts: KeyPart[] = [{ label: 'leaf bit', high: bitmapLog2 - 1, low: 0 }];
  for (let level = 1; level < depth; level++) {
    const low = bitmapLog2 + (level - 1) * tableLog2;
    parts.push({ label: `L${level + leafLevel}`, high: low + tableLog2 - 1, low });
  }
  const top = (parts.at(-1)?.high ?? 63) + 1;
  if (top <= 63) parts.push({ label: '0', high: 63, low: top });
  return parts.reverse();
}

/**
 * The fields of a key and how addresses lie in it, in at most 80 columns:
 *
 *      63   60 59   51 50   42 ...
 *     +-------+-------+------- ...
 *     |   0   |  L5   |  L4    ...
 */
export function keyPicture(contract: RadixContract, page: PageSize): string[] {
  const numbers = radixNumbersOf(contract, page);
  const parts = keyParts(numbers, contract.geometry.leafLevel);
  const widths = parts.map((part) => (part.low === 0 ? 13 : Math.max(7, `${part.high} ${part.low}`.length)));
  const cell = (text: string, width: number) => {
    const left = Math.floor((width - text.length) / 2);
    return `${' '.repeat(left)}${text}${' '.repeat(width - text.length - left)}`;
  };
  const bits = parts.map((part, i) => {
    const width = widths[i] ?? 7;
    return `${part.high}${String(part.low).padStart(width - String(part.high).length)}`;
  });
  const rule = `+${widths.map((width) => '-'.repeat(width)).join('+')}+`;
  const { keyWidth, depth, orderBits, addressShifts, maxOrder } = numbers;
  const orders = [0, page.defaultMaxPageOrder - 1, 30 - page.shift, maxOrder].filter(
    (order, i, all) => all.indexOf(order) === i,
  );
  return [
    `Radix key, ${page.name} pages: ${keyWidth} bits, ${depth} levels`,
    '',
    ` ${bits.join(' ')}`,
    rule,
    `|${parts.map((part, i) => cell(part.label, widths[i] ?? 7)).join('|')}|`,
    rule,
    '',
    ...orders.map((order) => {
      const shift = addressShifts[order] ?? 0;
      const bit = orderBits[order] ?? 0;
      const below = bit === 0 ? 'nothing below: the only block' : `phys >> ${shift} below it`;
      return `  order ${String(order).padStart(2)}  bit ${String(bit).padStart(2)} set, ${below}`;
    }),
  ];
}

/** What the tree comes to at each page size, side by side. */
export function geometryTable(contract: RadixContract): string[] {
  const columns = PAGE_SIZES.map((page) => ({ page, numbers: radixNumbersOf(contract, page) }));
  type Column = (typeof columns)[number];
  const rows: [string, (column: Column) => string, string][] = [
    ['key width', ({ numbers }) => String(numbers.keyWidth), 'bits'],
    ['table', ({ numbers }) => String(2 ** numbers.tableLog2), 'physical addresses'],
    ['leaf', ({ numbers }) => String(2 ** numbers.bitmapLog2), 'bits'],
    ['depth', ({ numbers }) => String(numbers.depth), 'levels, the leaf included'],
    ['index bits', ({ numbers }) => String(indexBits(numbers)), 'of it that the levels cover'],
    ['leaf reach, order 0', ({ page, numbers }) => sizeText(2 ** (numbers.bitmapLog2 + page.shift)), ''],
    ['one lone block', ({ page, numbers }) => sizeText(numbers.depth * page.sizeBytes), 'of tree'],
  ];
  const head = `${' '.repeat(21)}${columns.map(({ page }) => page.name.padStart(10)).join('')}`;
  return [
    'Tree geometry',
    '',
    head,
    ...rows.map(([label, value, unit]) =>
      `  ${label.padEnd(19)}${columns.map((column) => value(column).padStart(10)).join('')}  ${unit}`.trimEnd(),
    ),
    ...columns.flatMap(({ page, numbers }) =>
      indexBits(numbers) < numbers.keyWidth
        ? [
            '',
            `  ${page.name}: keys have ${numbers.keyWidth} bits, the levels cover ${indexBits(numbers)}: keys that differ`,
            '  only above those bits share a path, and one cannot be told from the other',
          ]
        : [],
    ),
  ];
}

function indexBits({ depth, tableLog2, bitmapLog2 }: RadixNumbers): number {
  return bitmapLog2 + (depth - 1) * tableLog2;
}
