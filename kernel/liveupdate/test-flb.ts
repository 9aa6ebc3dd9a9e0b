import { EEXIST, EINVAL, ENODATA, ENOENT, isErrno } from '../errno.ts';
import type { KernelLog } from '../log.ts';
import type { FileHandler } from './file-handler.ts';
import type { Flb, FlbRegistry } from './flb.ts';

/** Data of the first test FLB; the others count up (lib/tests/liveupdate.c). */
const TEST_FLB_DATA = 0xfeed_f00d_cafe_bee0n;

const NR_TEST_FLBS = 3;

function makeTestFlb(index: number, log: KernelLog): Flb {
  const compatible = `liveupdate-test-flb-v${index}`;
  const expected = TEST_FLB_DATA + BigInt(index);
  const say = (text: string) => log.info(`liveupdate test: ${compatible}: ${text}`);
  return {
    compatible,
    preserve() {
      say('preserve was triggered');
      return { data: expected, obj: undefined };
    },
    unpreserve() {
      say('unpreserve was triggered');
    },
    retrieve(data) {
      if (data === expected) {
        say('found flb data from the previous boot');
        return { obj: data };
      }
      log.err(
        `liveupdate test: ${compatible}: ERROR - incorrect data handle: ${data.toString(16)}, expected ${expected.toString(16)}`,
      );
      return EINVAL;
    },
    finish(obj) {
      if (obj === expected) say('finish was triggered');
      else log.err(`liveupdate test: ${compatible}: ERROR - finish called with invalid object`);
    },
  };
}

/**
 * CONFIG_LIVEUPDATE_TEST: three FLBs that every file handler depends on. With the first handler the predecessor's are
 * fetched and their data compared.
 */
export class TestFlbs {
  readonly flbs: readonly Flb[];
  readonly #registry: FlbRegistry;
  readonly #log: KernelLog;
  readonly #putsReference: boolean;
  #initialized = false;

  /** @param putsReference whether the fetched FLBs are given back at once, where fetching one takes a reference (7.1 on). */
  constructor(registry: FlbRegistry, log: KernelLog, putsReference: boolean) {
    this.flbs = Array.from({ length: NR_TEST_FLBS }, (_, index) => makeTestFlb(index, log));
    this.#registry = registry;
    this.#log = log;
    this.#putsReference = putsReference;
  }

  /** Called for each handler that is registered (liveupdate_test_register). */
  register(handler: FileHandler): void {
    const log = this.#log;
    if (!this.#initialized) {
      this.#initialized = true;
      for (const flb of this.flbs) {
        const got = this.#registry.getIncoming(flb);
        if (!isErrno(got)) {
          if (this.#putsReference) this.#registry.putIncoming(flb);
        } else if (got !== ENODATA && got !== ENOENT) {
          log.err(`liveupdate test: liveupdate_flb_get_incoming for ${flb.compatible} failed: ${got}`);
        }
      }
    }
    for (const flb of this.flbs) {
      const err = this.#registry.register(handler, flb);
      if (err !== 0) log.err(`liveupdate test: Failed to register ${flb.compatible} ${err}`);
    }
    const [first] = this.flbs;
    const again = first === undefined ? EEXIST : this.#registry.register(handler, first);
    if (again !== EEXIST) {
      log.err(`liveupdate test: Failed: ${first?.compatible} should be already registered, but got err: ${again}`);
    }
    log.info(`liveupdate test: Registered ${NR_TEST_FLBS} FLBs with file handler: [${handler.compatible}]`);
  }
}
