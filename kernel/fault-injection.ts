/** A place where a call can be made to fail: whoever asks at a site names it there, `radix.alloc-node` or so. */
export type FaultSite = string;

/**
 * Asked at each fault site whether this call is to fail. Counts calls per site, so that a scenario can say "the third
 * allocation of a tree node".
 */
export class FaultInjector {
  readonly #calls = new Map<FaultSite, number>();
  readonly #armed = new Map<FaultSite, Set<number>>();
  readonly #fired: FaultSite[] = [];

  /** Lets the `nth` call from now (1 is the next) of a site fail. */
  arm(site: FaultSite, nth: number): void {
    const set = this.#armed.get(site) ?? new Set<number>();
    set.add((this.#calls.get(site) ?? 0) + nth);
    this.#armed.set(site, set);
  }

  /** Counts a call of a site; true when this one is to fail. */
  fails(site: FaultSite): boolean {
    const call = (this.#calls.get(site) ?? 0) + 1;
    this.#calls.set(site, call);
    const fails = this.#armed.get(site)?.delete(call) === true;
    if (fails) this.#fired.push(site);
    return fails;
  }

  /** The sites whose armed calls came, one entry for each failure, in order. */
  get fired(): readonly FaultSite[] {
    return this.#fired;
  }

  /** Takes back every failure that has not happened yet. */
  disarm(): void {
    this.#armed.clear();
  }

  /** How often each site was reached, for whoever wants to fail every one of them in turn. */
  calls(): ReadonlyMap<FaultSite, number> {
    return this.#calls;
  }
}
