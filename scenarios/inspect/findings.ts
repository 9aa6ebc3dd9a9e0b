import { FINDING_CODES, type FindingCode, type Severity } from './finding-codes.ts';

/** One thing that is wrong, or worth knowing, in a handover. */
export interface Finding {
  readonly severity: Severity;
  readonly code: FindingCode;
  readonly message: string;
  /** An address (`0x...`), or a place by name (`root FDT`, `session "x" file 0x11`). */
  readonly where: string;
}

/** Findings of one code that are kept one by one; what comes after is counted. */
const KEPT_PER_CODE = 16;

/** Collects findings. Their number is bounded whatever the memory holds: see `KEPT_PER_CODE`. */
export class Findings {
  readonly #kept: Finding[] = [];
  readonly #counts = new Map<FindingCode, number>();

  /**
   * Adds a finding.
   * @param severity where this case is graver or milder than the code's usual one.
   */
  add(code: FindingCode, where: string, message: string, severity: Severity = FINDING_CODES[code].severity): void {
    const count = (this.#counts.get(code) ?? 0) + 1;
    this.#counts.set(code, count);
    if (count <= KEPT_PER_CODE) this.#kept.push({ severity, code, message, where });
  }

  /** Takes over what another collection found. */
  absorb(other: Findings): void {
    const taken = new Map<FindingCode, number>();
    for (const { code, where, message, severity } of other.#kept) {
      this.add(code, where, message, severity);
      taken.set(code, (taken.get(code) ?? 0) + 1);
    }
    for (const [code, count] of other.#counts) {
      this.#counts.set(code, (this.#counts.get(code) ?? 0) + count - (taken.get(code) ?? 0));
    }
  }

  count(code: FindingCode): number {
    return this.#counts.get(code) ?? 0;
  }

  /** How many errors there are, those that were only counted included. */
  get nrErrors(): number {
    let errors = this.#kept.filter((finding) => finding.severity === 'error').length;
    for (const [code, count] of this.#counts) {
      if (count > KEPT_PER_CODE && FINDING_CODES[code].severity === 'error') errors += count - KEPT_PER_CODE;
    }
    return errors;
  }

  /** All findings, errors first, in the order they were made; one line stands for those that were only counted. */
  list(): Finding[] {
    const all = [...this.#kept];
    for (const [code, count] of this.#counts) {
      if (count <= KEPT_PER_CODE) continue;
      const { severity } = FINDING_CODES[code];
      all.push({ severity, code, message: `and ${count - KEPT_PER_CODE} more of this kind`, where: 'elsewhere' });
    }
    const rank: Record<Severity, number> = { error: 0, warning: 1, note: 2 };
    return all
      .map((finding, index) => ({ finding, index }))
      .sort((a, b) => rank[a.finding.severity] - rank[b.finding.severity] || a.index - b.index)
      .map(({ finding }) => finding);
  }
}
