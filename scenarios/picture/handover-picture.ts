import { formatBytes } from './bytes.ts';
import { HANDOVER_LEGEND, MemoryLine, type PictureRange, pickHandover } from './memory-line.ts';

/** Banks that are drawn; more are only counted. */
const MAX_BANKS = 16;
const ADDRESS_COLUMNS = 14;

/** Of a handover, where everything lies. */
export interface PicturedHandover {
  readonly scratch: readonly PictureRange[];
  /** Pages of the memory map. */
  readonly map: readonly { readonly phys: number; readonly sizeBytes: number }[];
  /** Visits each preserved block: address and bytes. */
  forEachBlock(visit: (phys: number, sizeBytes: number) => void): void;
}

/**
 * RAM with a handover in it for a terminal, one line for each bank:
 *
 *         0x40000000 |m+#..................ssssss+s#| 512 MiB
 *
 * What is wrong shows over everything else, however small it is.
 */
export class HandoverPicture {
  readonly #lines: readonly MemoryLine[];
  readonly #nrBanks: number;
  #wrong = false;

  /** @param columns characters for each bank. */
  constructor(banks: readonly PictureRange[], columns: number) {
    this.#nrBanks = banks.length;
    this.#lines = banks.slice(0, MAX_BANKS).map((bank) => new MemoryLine(bank, columns));
  }

  addHandover(handover: PicturedHandover): void {
    for (const line of this.#lines) {
      for (const area of handover.scratch) line.add('scratch', area.base, area.sizeBytes);
      for (const piece of handover.map) line.add('map', piece.phys, piece.sizeBytes);
    }
    handover.forEachBlock((phys, sizeBytes) => {
      for (const line of this.#lines) line.add('preserved', phys, sizeBytes);
    });
  }

  /** Marks a range with `!`. */
  addWrong(phys: number, sizeBytes: number): void {
    this.#wrong = true;
    for (const line of this.#lines) line.add('wrong', phys, sizeBytes);
  }

  /** One line for each bank. */
  lines(): string[] {
    const out = this.#lines.map((line) => {
      const base = `0x${line.bank.base.toString(16)}`.padStart(ADDRESS_COLUMNS);
      return `${base} |${line.render(pickHandover)}| ${formatBytes(line.bank.sizeBytes)}`;
    });
    const more = this.#nrBanks - this.#lines.length;
    if (more > 0) out.push(`${''.padStart(ADDRESS_COLUMNS)} and ${more} ${more === 1 ? 'bank' : 'banks'} more`);
    return out;
  }

  /** What the characters mean. @param wrong what `!` marks. */
  legend(wrong: string): string {
    return `${HANDOVER_LEGEND}${this.#wrong ? `  ! ${wrong}` : ''}`;
  }
}
