import { NAMED_QUIRKS, quirkByName } from '../../kernel/quirks.ts';
import { RELEASES, releaseByName } from '../../kernel/release.ts';
import type { InputMessage } from '../input-error.ts';
import type { Scenario, ScenarioStep } from './load.ts';
import { nearest } from './nearest.ts';

import type { CorruptSpec, ExpectSpec, FoliosSpec, StepSpec } from './schema.ts';

/*
 * What a scenario file says that cannot be, though each value by itself may: found before anything runs. What depends
 * on the page size (an order too high, a scratch area too small) the runner finds, and says in the same form.
 */

/** Every contradiction in a scenario, by line. */
export function checkMeaning(scenario: Scenario): InputMessage[] {
  const checker = new Checker(scenario);
  checker.machine();
  for (const step of scenario.steps) checker.step(step);
  checker.expectations();
  return checker.messages.sort((a, b) => (a.line ?? 0) - (b.line ?? 0));
}

class Checker {
  readonly messages: InputMessage[] = [];
  readonly #scenario: Scenario;
  readonly #objects = new Set<string>();
  readonly #sessions = new Set<string>();
  readonly #subtrees = new Set<string>();

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
  }

  #say(path: readonly (string | number)[], message: string, hint?: string): void {
    const line = this.#scenario.lineOf(path);
    this.messages.push({
      message,
      file: this.#scenario.file,
      ...(line === undefined ? {} : { line }),
      ...(hint === undefined ? {} : { hint }),
    });
  }

  machine(): void {
    const { machine, kernel } = this.#scenario.spec;
    if (machine.arch === 'x86_64' && this.#scenario.pageSizes.some((page) => page.shift !== 12)) {
      this.#say(['machine', 'pageSize'], 'x86_64 has pages of 4K only', 'use arch: arm64 for 16K and 64K');
    }
    if (machine.nodes !== undefined && Array.isArray(machine.memory)) {
      this.#say(['machine', 'nodes'], 'nodes and a list of banks exclude each other', 'give each bank its nid');
    }
    const full = (machine.memorylessNodes ?? []).find((nid) => this.#nids().includes(nid));
    if (full !== undefined) this.#say(['machine', 'memorylessNodes'], `node ${full} has memory`);
    this.#release(['kernel', 'release'], kernel.release);
    this.#quirks(['kernel', 'quirks'], kernel.quirks);
  }

  #quirks(path: readonly (string | number)[], names: readonly string[]): void {
    const known = NAMED_QUIRKS.map((quirk) => quirk.name);
    for (const [i, name] of names.entries()) {
      if (quirkByName(name) !== undefined) continue;
      const near = nearest(name, known);
      const hint = near === undefined ? `one of ${known.join(', ')}` : `did you mean '${near}'?`;
      this.#say([...path, i], `there is no quirk '${name}'`, hint);
    }
  }

  #release(path: readonly (string | number)[], name: string): void {
    if (releaseByName(name) !== undefined) return;
    this.#say(
      path,
      `there is no release '${name}'`,
      `one of ${RELEASES.map((release) => release.name).join(', ')}, or a stable release of these`,
    );
  }

  step(step: ScenarioStep): void {
    const { spec, verb, index } = step;
    const path = [...step.path, verb];
    const folios = spec['preserve folios'] ?? spec.alloc;
    if (folios !== undefined) this.#folios(path, folios);
    const pages = spec['preserve pages'];
    if (pages !== undefined) {
      if ((pages.count === undefined) === (pages.size === undefined)) {
        this.#say(path, 'a range of pages has a count or a size, one of both');
      }
      if (pages.size === 0) this.#say([...path, 'size'], 'a range of pages has at least one page');
      this.#placed(path, pages);
    }
    if (spec['preserve vmalloc'] !== undefined) this.#define(path, spec['preserve vmalloc'].as);
    for (const use of [spec.preserve, spec.unpreserve, spec.free, spec.restore]) {
      for (const name of use === undefined ? [] : [use].flat()) this.#known(path, name);
    }
    this.#clients(path, spec);
    for (const write of [spec.write, spec.damage]) {
      if (write === undefined) continue;
      if ((write.to === undefined) === (write.at === undefined)) {
        this.#say(path, 'a write goes to an object or at an address, one of both', 'e.g. { to: cache, page: 3 }');
      }
      if (write.at !== undefined && write.page !== undefined)
        this.#say(path, 'page counts in an object, not at an address');
      if (write.to !== undefined) this.#known(path, write.to);
    }
    if (spec.write?.at !== undefined)
      this.#say(path, 'the owner writes to what it owns', 'name an object, or use damage');
    if (spec.corrupt !== undefined) {
      const later = this.#scenario.steps.slice(index + 1);
      if (!later.some((other) => other.verb === 'kexec')) {
        this.#say(path, 'what the old kernel left is corrupted at the next jump, and no kexec follows');
      }
      if (spec.corrupt.what === 'subtree' && spec.corrupt.name === undefined) {
        this.#say(path, 'which subtree? give its name');
      }
      if (spec.corrupt.pointer !== undefined && spec.corrupt.bytes !== undefined) {
        this.#say(path, 'a corruption writes bytes or a pointer, one of both');
      }
      if (spec.corrupt.what === 'session-files') {
        if (spec.corrupt.name === undefined) this.#say(path, 'whose files? give the session’s name');
        else this.#known(path, spec.corrupt.name, this.#sessions);
      }
      this.#stale(path, spec.corrupt);
      if (spec.corrupt.what.startsWith('handoff') && spec.corrupt.value === undefined) {
        this.#say(path, 'a handoff number needs a value');
      }
    }
    if (spec.kexec !== undefined) this.#kexec(path, spec);
  }

  #stale(path: readonly (string | number)[], spec: CorruptSpec): void {
    const { stale, size, bytes, pointer, times, value, replace, what } = spec;
    if (stale === undefined) {
      if (size !== undefined) this.#say([...path, 'size'], 'a size is that of what is stale', 'add stale: true');
      return;
    }
    if (what.startsWith('handoff')) this.#say([...path, 'stale'], 'numbers of the handoff are in no memory');
    if ([bytes, pointer, times, value, replace].some((each) => each !== undefined)) {
      this.#say(path, 'stale memory holds what it held before, and nothing that the file says');
    }
  }

  #folios(path: readonly (string | number)[], folios: FoliosSpec): void {
    if (folios.order !== undefined && folios.size !== undefined) {
      this.#say(path, 'a folio has an order or a size, one of both');
    }
    if (folios.size !== undefined && (folios.size === 0 || !Number.isInteger(Math.log2(folios.size)))) {
      this.#say([...path, 'size'], 'a folio’s size is a power of two');
    }
    if (folios.count !== undefined && folios.total !== undefined) {
      this.#say(path, 'folios have a count or a total size, one of both');
    }
    if (folios.scatter === true && (folios.at !== undefined || folios.every !== undefined)) {
      this.#say(path, 'scatter means random places; at and every say which');
    }
    if (folios.every === 0) this.#say([...path, 'every'], 'the distance from one folio to the next cannot be 0');
    this.#placed(path, folios);
  }

  /** The nodes that have memory. */
  #nids(): number[] {
    const { nodes, memory } = this.#scenario.spec.machine;
    return Array.isArray(memory) ? memory.map((bank) => bank.nid) : Array.from({ length: nodes ?? 1 }, (_, i) => i);
  }

  #placed(
    path: readonly (string | number)[],
    spec: { at?: number | string | undefined; nid?: number | undefined; as?: string | undefined },
  ): void {
    const nids = this.#nids();
    if (spec.nid !== undefined && !nids.includes(spec.nid)) {
      this.#say([...path, 'nid'], `the machine has no node ${spec.nid}`, `nodes: ${[...new Set(nids)].join(', ')}`);
    }
    if (spec.nid !== undefined && spec.at !== undefined)
      this.#say(path, 'an address says which node: at and nid exclude each other');
    if (spec.at === 'node-border' && new Set(nids).size < 2) {
      this.#say([...path, 'at'], 'a machine of one node has no border', 'add nodes: 2 to the machine');
    }
    this.#define(path, spec.as);
  }

  #define(path: readonly (string | number)[], name: string | undefined): void {
    if (name === undefined) return;
    if (this.#objects.has(name)) this.#say([...path, 'as'], `there is a '${name}' already`);
    this.#objects.add(name);
  }

  #known(path: readonly (string | number)[], name: string, names: ReadonlySet<string> = this.#objects): void {
    if (names.has(name)) return;
    const near = nearest(name, [...names]);
    const hint = near === undefined ? `so far: ${[...names].join(', ') || 'nothing'}` : `did you mean '${near}'?`;
    this.#say(path, `nothing is called '${name}' here`, hint);
  }

  #clients(path: readonly (string | number)[], spec: StepSpec): void {
    const subtree = spec['add subtree'];
    if (subtree !== undefined) {
      if ((subtree.size === undefined) === (subtree.text === undefined)) {
        this.#say(path, 'a subtree has a size or a text, one of both');
      }
      this.#subtrees.add(subtree.name);
    }
    for (const name of [spec['remove subtree'], spec['read debugfs']]) {
      if (name !== undefined) this.#known(path, name, this.#subtrees);
    }
    for (const [i, file] of (spec.session?.files ?? []).entries()) {
      for (const hole of file.holes ?? []) {
        if (hole.at + hole.size > file.memfd) {
          this.#say(
            [...path, 'files', i, 'holes'],
            'the hole reaches beyond the file',
            `the file has ${file.memfd} bytes`,
          );
        }
      }
    }
    if (spec.session !== undefined) this.#sessions.add(spec.session.name);
    if (spec.renew !== undefined) this.#known(path, spec.renew, this.#sessions);
    const more = spec['preserve file'];
    if (more !== undefined && (more.memfd === undefined) === (more.of === undefined)) {
      this.#say(path, 'a file is a new memfd of some size, or one of a session, one of both');
    }
    const named = [more, more?.of, spec['retrieve file'], spec['read file'], spec['write file']];
    for (const each of named) if (each !== undefined) this.#known(path, each.session, this.#sessions);
    const { exit } = spec.kexec?.meanwhile ?? {};
    for (const name of [spec.close, exit]) if (name !== undefined) this.#known(path, name, this.#sessions);
    if (spec['kexec and return'] !== undefined && this.#scenario.spec.machine.arch !== 'x86_64') {
      this.#say(path, 'a kernel comes back on x86_64 only', 'add arch: x86_64 to the machine');
    }
  }

  #kexec(path: readonly (string | number)[], spec: StepSpec): void {
    const { release, quirks, restore, pageSize } = spec.kexec ?? {};
    if (pageSize !== undefined && pageSize !== '4K' && this.#scenario.spec.machine.arch === 'x86_64') {
      this.#say([...path, 'pageSize'], 'x86_64 has pages of 4K only', 'use arch: arm64 for 16K and 64K');
    }
    if (release !== undefined) this.#release([...path, 'release'], release);
    this.#quirks([...path, 'quirks'], quirks ?? []);
    for (const name of Array.isArray(restore) ? restore : []) this.#known([...path, 'restore'], name);
  }

  expectations(): void {
    const { kernel, steps } = this.#scenario.spec;
    const cmdlines = [kernel.cmdline, ...steps.map((step) => step.kexec?.cmdline ?? '')].join(' ');
    const regions = [...cmdlines.matchAll(/\breserve_mem=[^:\s]*:[^:\s]*:(\S+)/g)];
    const all = new Set([
      ...this.#objects,
      ...this.#sessions,
      ...this.#subtrees,
      ...regions.map((region) => region[1] ?? ''),
    ]);
    const { expect } = this.#scenario.spec;
    const parts: (readonly [string, ExpectSpec])[] = [['expect', expect]];
    for (const size of ['4K', '16K', '64K'] as const) {
      const part = expect[size];
      if (part !== undefined) parts.push([size, part]);
    }
    for (const [key, part] of parts) {
      const path = key === 'expect' ? ['expect'] : ['expect', key];
      for (const name of part.intact ?? []) this.#known([...path, 'intact'], name, all);
      for (const name of part.damagedObjects ?? []) this.#known([...path, 'damagedObjects'], name, all);
      for (const name of part.intact ?? []) {
        if (part.damagedObjects?.includes(name)) this.#say(path, `'${name}' cannot be intact and damaged`);
      }
      if (part.outcome === 'handover' && !this.#scenario.steps.some((s) => s.verb === 'kexec')) {
        this.#say([...path, 'outcome'], 'an outcome needs a kexec step');
      }
    }
  }
}
