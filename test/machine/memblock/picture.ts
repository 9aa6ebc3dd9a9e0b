import { MEMBLOCK_RSRV_KERN } from '../../../machine/memblock/flags.ts';
import { Memblock } from '../../../machine/memblock/memblock.ts';
import { NO_REGION, type RegionTable } from '../../../machine/memblock/region-table.ts';
import type { PageSize } from '../../../machine/page-size.ts';

/*
 * Pictures of an address line, a character for each page:
 *
 *      ' '  no memory          R  reserved                       a..h  reserved for the kernel on node 0..7
 *      -    free memory        K  reserved for the kernel
 *
 * between bars, as |--KK--|. Neighbouring characters that are alike are one region.
 */

/** Where pictures start: a multiple of every alignment in use, and away from the first page. */
const FIRST_PFN = 64;

/** The nodes of the pictures with NUMA: eight, of different sizes. */
export const NODES = '00000000112222333344556666666677';

export type Direction = 'top_down' | 'bottom_up';

/** A memblock made from a picture, spoken to in pages of the picture. */
export class World {
  readonly memblock: Memblock;
  readonly #nodes: string | undefined;
  readonly #length: number;

  constructor(page: PageSize, picture: string, direction: Direction, nodes?: string) {
    const pages = picture.slice(1, -1);
    this.#length = pages.length;
    this.#nodes = nodes;
    this.memblock = new Memblock({ page });
    this.memblock.bottomUp = direction === 'bottom_up';
    for (const [i, char] of [...pages].entries()) {
      const nid = nodes === undefined ? 0 : Number(nodes[i]);
      if (char !== ' ') this.memblock.addNode(this.at(i), page.sizeBytes, nid);
      if (char === 'R') this.memblock.reserve(this.at(i), page.sizeBytes);
      else if (char === 'K') this.memblock.reserveKern(this.at(i), page.sizeBytes);
      else if (/[a-h]/.test(char)) {
        this.memblock.reserveNode(this.at(i), page.sizeBytes, char.charCodeAt(0) - 97, MEMBLOCK_RSRV_KERN);
      }
    }
  }

  /** The address of a page of the picture; pages before it are negative. */
  at(index: number): number {
    return (FIRST_PFN + index) * this.memblock.pageBytes;
  }

  bytes(pages: number): number {
    return pages * this.memblock.pageBytes;
  }

  alloc(pages: number, align = 1): number {
    return this.memblock.alloc(this.bytes(pages), this.bytes(align));
  }

  allocFrom(pages: number, min: number, align = 1): number {
    return this.memblock.allocFrom(this.bytes(pages), this.bytes(align), this.at(min));
  }

  /** Between two pages, on any node or preferably on one. */
  allocNid(pages: number, min: number, max: number, nid = -1, align = 1): number {
    return this.memblock.allocTryNidRaw(this.bytes(pages), this.bytes(align), this.at(min), this.at(max), nid);
  }

  /** Between two pages, on that node only. */
  allocExactNid(pages: number, min: number, max: number, nid: number): number {
    return this.memblock.allocExactNidRaw(this.bytes(pages), this.memblock.pageBytes, this.at(min), this.at(max), nid);
  }

  /** The picture of what there is now. @throws when regions that belong together are apart. */
  draw(): string {
    const { memory, reserved } = this.memblock;
    assertMinimal(memory);
    assertMinimal(reserved);
    let picture = '';
    for (let i = 0; i < this.#length; i++) picture += this.#drawPage(this.at(i));
    return `|${picture}|`;
  }

  #drawPage(addr: number): string {
    const { memory, reserved } = this.memblock;
    const taken = reserved.search(addr);
    if (taken !== NO_REGION) {
      if (reserved.flags(taken) !== MEMBLOCK_RSRV_KERN) return 'R';
      return reserved.nid(taken) < 0 ? 'K' : String.fromCharCode(97 + reserved.nid(taken));
    }
    return memory.search(addr) === NO_REGION ? ' ' : '-';
  }

  /** The nodes of memory, as NODES has them. */
  drawNodes(): string {
    const { memory } = this.memblock;
    return Array.from({ length: this.#length }, (_, i) => {
      const pos = memory.search(this.at(i));
      return pos === NO_REGION ? ' ' : `${memory.nid(pos)}`;
    }).join('');
  }

  get nodes(): string | undefined {
    return this.#nodes;
  }
}

/** Neighbours that could be one region must be one. */
export function assertMinimal(table: RegionTable): void {
  let previous: { end: number; flags: number; nid: number } | undefined;
  for (const region of table) {
    if (previous !== undefined) {
      if (previous.end > region.base) throw new Error(`${table.name} regions overlap at ${region.base}`);
      if (previous.end === region.base && previous.flags === region.flags && previous.nid === region.nid) {
        throw new Error(`${table.name} regions are not merged at ${region.base}`);
      }
    }
    previous = region;
  }
}
