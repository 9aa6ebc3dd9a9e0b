import type { Fill, Order, PageSize, Pfn } from '../../machine/index.ts';

/** What an object is made of: so many blocks of pages. */
export interface Blocks {
  /** First frame of each block. Frames are of the run's smallest page size, in whichever kernel. */
  readonly starts: Float64Array;
  /** Pages of every block. */
  readonly nrPagesEach: number;
}

export type ObjectKind = 'folios' | 'pages' | 'vmalloc' | 'reserve_mem';

/** Where an object is in its life. */
export type ObjectState = 'allocated' | 'preserved' | 'crossed' | 'restored' | 'freed' | 'gone';

/**
 * One thing that the scenario asked to preserve, as the checker remembers it: outside all kernels, in numbers that say
 * where it lay and what was in it.
 */
export class ExpectedObject {
  readonly name: string;
  readonly kind: ObjectKind;
  /** The order of its folios in frames; -1 for single pages, which come back one by one. */
  readonly order: Order | -1;
  readonly blocks: Blocks;
  /** The pages of the kernel that made it: what its content was made for. */
  readonly page: PageSize;
  /** What its pages held when they were first written. */
  readonly fill: Fill;
  /** Pages that were written since, as a whole. */
  readonly written = new Map<Pfn, Uint8Array>();
  state: ObjectState = 'allocated';
  /** Whether clients look after it: preserve it again before each jump, until a step says otherwise. */
  renewed = true;
  /** A reserve_mem region that the new kernel did not take over. */
  abandoned = false;
  /** The step that preserved it, as a message would say it. */
  preservedAt = '';
  /** Bytes of the last page, or block, that the client asked for; what lies behind is not compared. */
  readonly sizeBytes: number;

  constructor(init: {
    readonly name: string;
    readonly kind: ObjectKind;
    readonly order: Order | -1;
    readonly blocks: Blocks;
    readonly page: PageSize;
    readonly fill: Fill;
    readonly sizeBytes: number;
  }) {
    this.name = init.name;
    this.kind = init.kind;
    this.order = init.order;
    this.blocks = init.blocks;
    this.page = init.page;
    this.fill = init.fill;
    this.sizeBytes = init.sizeBytes;
  }

  get nrPages(): number {
    return this.blocks.starts.length * this.blocks.nrPagesEach;
  }
}
