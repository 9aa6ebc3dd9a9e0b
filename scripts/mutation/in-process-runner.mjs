import { readFile, writeFile } from 'node:fs/promises';
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
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

  constructor(namespace) {
    this.#namespace = globalThis[namespace] ??= {};
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
    await this.#load();
    const known = await readFile(DURATIONS, 'utf8').catch(() => '[]');
    this.#durations = new Map(JSON.parse(known));
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
    try {
      await test.body();
      return { ...result, status: TestStatus.Success, timeSpentMs: spent() };
    } catch (error) {
      const failureMessage = error instanceof Error ? error.message : String(error);
      return { ...result, status: TestStatus.Failed, failureMessage, timeSpentMs: spent() };
    }
  }

  async dryRun() {
    const tests = [];
    for (const test of this.#registry.tests) {
      this.#namespace.currentTestId = test.id;
      const result = await this.#run(test);
      this.#namespace.currentTestId = undefined;
      this.#durations.set(test.id, result.timeSpentMs);
      const { most = Number.POSITIVE_INFINITY } = chosenModule();
      if (result.timeSpentMs > most)
        process.stderr.write(`left out, ${Math.round(result.timeSpentMs)} ms: ${test.id}\n`);
      else tests.push(result);
    }
    await writeFile(DURATIONS, JSON.stringify([...this.#durations]));
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
    chosen.sort((a, b) => (this.#durations.get(a.id) ?? 0) - (this.#durations.get(b.id) ?? 0));
    const namespace = this.#namespace;
    namespace.hitCount = 0;
    namespace.hitLimit = hitLimit;
    namespace.activeMutant = activeMutant.id;
    const results = [];
    let failed;
    for (const test of chosen) {
      const result = await this.#run(test);
      results.push(result);
      if (result.status === TestStatus.Failed) {
        failed = test;
        break;
      }
    }
    namespace.activeMutant = undefined;
    return { results, failed, timeout: determineHitLimitReached(namespace.hitCount, hitLimit) };
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
