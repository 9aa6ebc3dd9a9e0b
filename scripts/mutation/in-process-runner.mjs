import { readFile, writeFile } from 'node:fs/promises';
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { declareFactoryPlugin, PluginKind } from '@stryker-mutator/api/plugin';
import {
  DryRunStatus,
  determineHitLimitReached,
  TestStatus,
  toMutantRunResult,
} from '@stryker-mutator/api/test-runner';
import { createServer, createServerModuleRunner } from 'vite';
import { chosenModule } from './modules.mjs';

/** In the sandbox, which goes away with the run. */
const DURATIONS = '.durations.json';
/** Holds the mutant that made the last worker be ended; see watchdog.mjs. */
const ENDLESS = '.endless';
/** Tests that take more ms of CPU are left out, as every survivor would pay for them: the score can but be lower. */
const MOST_MS = 1000;
/**
 * In ms of CPU: how much testing a mutant gets before it counts as a survivor. The tests that noticed most for their
 * time come first, so a small budget makes a run quick, and its score hardly lower, never higher.
 */
const BUDGET_MS = Number(process.env.KHOSIM_MUTATION_BUDGET ?? Number.POSITIVE_INFINITY);
/** Evaluations of mutated code that a test may make beyond some times what it makes without a mutant. */
const SPARE_STEPS = 300_000;
const PATIENCE = 10;
/** In ms of CPU: what a mutant may use beyond some times what its tests use without it. */
const SPARE_MS = 10_000;

/** Thrown out of an endless loop. */
class Endless extends Error {}
const SHIM = fileURLToPath(new URL('./vitest-in-process.mjs', import.meta.url));
const CAPPED = fileURLToPath(new URL('./fast-check-capped.mjs', import.meta.url));

/**
 * Runs the tests of a module in Stryker's worker itself, again and again, with one mutant on at a time. The quick tests
 * run first. A test that failed is run once more without the mutant: should something the mutant left behind (a cache)
 * make it fail there too, then all modules are loaded anew and the mutant gets another, clean, try.
 */
class InProcessRunner {
  #server;
  #modules;
  #registry;
  #namespace;
  /** By test id, in ms, of the run without mutants. In a file too, for the worker that follows one that hung. */
  #durations = new Map();
  /** How often each test was the one that noticed: those are tried early. */
  #kills = new Map();
  /** Mutant under test (-1: none), and the CPU time of the process at which it is endless. */
  #shared = new Int32Array(new SharedArrayBuffer(8)).fill(-1);

  /** Evaluations of mutated code since the test began, and how many there may be; usual ones by test id. */
  #steps = 0;
  #mostSteps = Number.POSITIVE_INFINITY;
  #usualSteps = new Map();

  constructor(namespace) {
    this.#namespace = globalThis[namespace] ??= {};
    // Mutated code asks at each place which mutant is on, so every loop in it can be counted, and ended, here.
    let active;
    Object.defineProperty(this.#namespace, 'activeMutant', {
      get: () => {
        if (++this.#steps > this.#mostSteps) throw new Endless('too many steps');
        return active;
      },
      set: (id) => {
        active = id;
      },
    });
  }

  capabilities() {
    return { reloadEnvironment: true };
  }

  async init() {
    this.#server = await createServer({
      configFile: false,
      root: process.cwd(),
      appType: 'custom',
      logLevel: 'error',
      server: { middlewareMode: true, ws: false, hmr: false, watch: null },
      optimizeDeps: { noDiscovery: true },
      resolve: {
        alias: [
          { find: /^vitest$/, replacement: SHIM },
          { find: /^fast-check$/, replacement: CAPPED },
        ],
      },
    });
    new Worker(new URL('./watchdog.mjs', import.meta.url), {
      workerData: { shared: this.#shared.buffer, file: resolve(ENDLESS) },
    }).unref();
    await this.#load();
    const known = await readFile(DURATIONS, 'utf8').catch(() => '[]');
    for (const [id, duration, steps] of JSON.parse(known)) {
      this.#durations.set(id, duration);
      this.#usualSteps.set(id, steps);
    }
  }

  async #load() {
    await this.#modules?.close();
    this.#modules = createServerModuleRunner(this.#server.environments.ssr, {
      hmr: false,
      sourcemapInterceptor: false,
    });
    this.#registry = (await this.#modules.import(SHIM)).registry;
    this.#registry.tests.length = 0;
    for (const file of chosenModule().tests) {
      this.#registry.file = file;
      await this.#modules.import(resolve(file));
    }
    for (const test of this.#registry.tests) test.id = `${relative('.', test.file)}#${test.name}`;
  }

  async #run(test) {
    const started = process.cpuUsage();
    const spent = () => {
      const { user, system } = process.cpuUsage(started);
      return (user + system) / 1000;
    };
    const result = { id: test.id, name: test.name, fileName: resolve(test.file) };
    this.#steps = 0;
    try {
      await test.body();
      return { ...result, status: TestStatus.Success, timeSpentMs: spent() };
    } catch (error) {
      const failureMessage = error instanceof Error ? error.message : String(error);
      const endless = this.#steps > this.#mostSteps;
      return { ...result, status: TestStatus.Failed, failureMessage, timeSpentMs: spent(), endless };
    }
  }

  async dryRun() {
    const tests = [];
    for (const test of this.#registry.tests) {
      this.#namespace.currentTestId = test.id;
      const result = await this.#run(test);
      this.#namespace.currentTestId = undefined;
      this.#durations.set(test.id, result.timeSpentMs);
      this.#usualSteps.set(test.id, this.#steps);
      if (result.timeSpentMs > MOST_MS)
        process.stderr.write(`left out, ${Math.round(result.timeSpentMs)} ms: ${test.id}\n`);
      else tests.push(result);
    }
    await writeFile(
      DURATIONS,
      JSON.stringify([...this.#durations].map(([id, ms]) => [id, ms, this.#usualSteps.get(id)])),
    );
    const { perTest, ...coverage } = this.#namespace.mutantCoverage;
    const kept = new Set(tests.map(({ id }) => id));
    const covered = Object.entries(perTest).filter(([id]) => kept.has(id));
    return {
      status: DryRunStatus.Complete,
      tests,
      mutantCoverage: { ...coverage, perTest: Object.fromEntries(covered) },
    };
  }

  async mutantRun(options) {
    const endless = await readFile(ENDLESS, 'utf8').catch(() => '');
    if (endless === options.activeMutant.id) return { status: MutantRunStatus.Timeout, reason: 'too much CPU' };
    const isStatic = options.mutantActivation === 'static';
    if (isStatic) {
      this.#namespace.activeMutant = options.activeMutant.id;
      try {
        await this.#load();
      } catch (error) {
        const failure = {
          id: 'import',
          name: 'import',
          status: TestStatus.Failed,
          failureMessage: String(error),
          timeSpentMs: 0,
        };
        this.#namespace.activeMutant = undefined;
        await this.#load();
        return toMutantRunResult({ status: DryRunStatus.Complete, tests: [failure] });
      }
    }
    let run = await this.#runWith(options);
    if (isStatic) await this.#load();
    else if (run.failed !== undefined && (await this.#run(run.failed)).status === TestStatus.Failed) {
      await this.#load();
      run = await this.#runWith(options);
      await this.#load();
    }
    return toMutantRunResult(run.timeout ?? { status: DryRunStatus.Complete, tests: run.results });
  }

  async #runWith({ activeMutant, testFilter, hitLimit }) {
    const wanted = testFilter === undefined ? undefined : new Set(testFilter);
    const chosen = this.#registry.tests.filter((test) => wanted?.has(test.id) ?? true);
    const duration = (test) => this.#durations.get(test.id) ?? 0;
    const worth = (test) => (duration(test) + 0.1) / (1 + (this.#kills.get(test.id) ?? 0));
    chosen.sort((a, b) => worth(a) - worth(b));
    const { user, system } = process.cpuUsage();
    const usual = chosen.reduce((sum, test) => sum + duration(test), 0);
    this.#shared[1] = (user + system) / 1000 + SPARE_MS + PATIENCE * usual;
    this.#shared[0] = Number(activeMutant.id);
    const namespace = this.#namespace;
    namespace.hitCount = 0;
    namespace.hitLimit = hitLimit;
    namespace.activeMutant = activeMutant.id;
    const results = [];
    let failed;
    let timeout;
    let spent = 0;
    for (const test of chosen) {
      if (spent > BUDGET_MS) break;
      this.#mostSteps = SPARE_STEPS + PATIENCE * (this.#usualSteps.get(test.id) ?? 0);
      const result = await this.#run(test);
      results.push(result);
      spent += result.timeSpentMs;
      if (result.status === TestStatus.Failed) {
        if (result.endless) timeout = { status: DryRunStatus.Timeout, reason: 'too many steps' };
        failed = test;
        this.#kills.set(test.id, (this.#kills.get(test.id) ?? 0) + 1);
        break;
      }
    }
    namespace.activeMutant = undefined;
    this.#mostSteps = Number.POSITIVE_INFINITY;
    this.#shared[0] = -1;
    return { results, failed, timeout: timeout ?? determineHitLimitReached(namespace.hitCount, hitLimit) };
  }

  async dispose() {
    await this.#modules?.close();
    await this.#server?.close();
  }
}

function inProcessRunner(injector) {
  return injector.injectFunction(create);
}
inProcessRunner.inject = ['$injector'];

function create() {
  return new InProcessRunner('__stryker__');
}
create.inject = [];

export const strykerPlugins = [declareFactoryPlugin(PluginKind.TestRunner, 'in-process', inProcessRunner)];
