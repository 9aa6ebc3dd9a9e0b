import { releaseByName } from '../../kernel/release.ts';
import { type FuzzPlan, fieldOf, LAST_OBJECT, stepOf } from './plan.ts';
import { SCRATCH_TOO_SMALL_FOR_MEMBLOCK } from './random-steps.ts';

/*
 * What a random scenario has in it, by name: so that what ought to be drawn is known to be drawn.
 */

function machineFeatures({ machine, kernel }: FuzzPlan): string[] {
  const features = [`pages of ${machine.pageSize}`, `arch ${machine.arch ?? 'arm64'}`];
  if (Array.isArray(machine.memory)) features.push('banks');
  if ((machine.nodes ?? 1) > 1) features.push('several nodes');
  if (machine.memorylessNodes !== undefined) features.push('a node without memory');
  const scratch = /kho_scratch=(\S+)/.exec(kernel.cmdline)?.[1] ?? '';
  const isPercent = scratch.endsWith('%');
  const hasZero = scratch.split(',').includes('0');
  features.push(`scratch: ${isPercent ? 'a percentage' : hasZero ? 'an area of size 0' : 'three sizes'}`);
  if (scratch === '4M,4M,4M') features.push('scratch: too small for a kernel');
  if (scratch === SCRATCH_TOO_SMALL_FOR_MEMBLOCK) features.push('scratch: too small for memblock');
  return features;
}

/** Whether memblock has more regions to keep than it has room for. */
function fillsScratch({ kernel, steps }: FuzzPlan): boolean {
  return (
    kernel.cmdline.includes(`kho_scratch=${SCRATCH_TOO_SMALL_FOR_MEMBLOCK} `) &&
    steps.some((step) => Number(fieldOf(stepOf(step).spec, 'count') ?? 0) >= 40_000)
  );
}

function kernelFeatures(spec: unknown, where: string): string[] {
  const features: string[] = [];
  const cmdline = fieldOf(spec, 'cmdline');
  if (typeof cmdline === 'string') {
    if (cmdline.includes('reserve_mem=')) features.push('reserve_mem');
    if (cmdline.includes('kho=off')) features.push(`${where}: kho=off`);
    if (!cmdline.includes('liveupdate=on')) features.push('no liveupdate=on');
  }
  const config = fieldOf(spec, 'config');
  for (const [name, value] of Object.entries((config ?? {}) as object)) features.push(`${name}=${String(value)}`);
  const release = fieldOf(spec, 'release');
  if (typeof release === 'string') features.push(`${where}: ${release}`);
  for (const name of (fieldOf(spec, 'quirks') ?? []) as readonly string[]) features.push(`${where}: ${name}`);
  if (fieldOf(spec, 'finalize') === false) features.push('never finalised');
  if (fieldOf(spec, 'restore') === 'none') features.push('nobody restores');
  return features;
}

/** What clients do twice, or in the wrong order. */
function ordersOf({ steps }: FuzzPlan): string[] {
  const features: string[] = [];
  const preserved = new Set<unknown>();
  const restored = new Set<unknown>();
  const fixed = new Map<unknown, unknown>();
  for (const step of steps) {
    const { verb, spec } = stepOf(step);
    if (verb === 'kexec') {
      for (const name of preserved) restored.add(name);
      continue;
    }
    if (verb === 'preserve' && preserved.has(spec)) features.push('preserve twice');
    if (verb === 'unpreserve' && !preserved.delete(spec)) features.push('unpreserve twice');
    if (verb === 'restore') features.push(restored.has(spec) ? 'restore twice' : 'restore what was not handed over');
    if (verb === 'free' && preserved.has(spec)) features.push('free while preserved');
    if (verb === 'preserve') preserved.add(spec);
    const at = fieldOf(spec, 'at');
    if (verb.startsWith('preserve ')) preserved.add(fieldOf(spec, 'as'));
    if (verb !== 'preserve folios' || at === undefined) continue;
    const order = fieldOf(spec, 'order');
    if (fixed.has(at) && fixed.get(at) !== order) features.push('the same page with two orders');
    fixed.set(at, order);
  }
  return features;
}

function stepFeatures(verb: string, spec: unknown, release: string): string[] {
  const at = fieldOf(spec, 'at');
  switch (verb) {
    case 'fault':
      return [`fault: ${String(at)}`];
    case 'corrupt':
      return [
        `corrupt: ${String(fieldOf(spec, 'what'))}`,
        ...(fieldOf(spec, 'bytes') === undefined ? [] : ['corrupt: a write that is lost']),
        ...(fieldOf(spec, 'stale') === undefined ? [] : [`stale: ${String(fieldOf(spec, 'what'))}`]),
      ];
    case 'session': {
      const files = fieldOf(spec, 'files');
      const withFiles = Array.isArray(files) && files.length > 0 ? ['session with memfds'] : ['session without files'];
      return [...withFiles, ...(releaseByName(release)?.block === undefined ? [] : ['serialization blocks'])];
    }
    case 'preserve vmalloc': {
      const isHuge = fieldOf(spec, 'huge') === true;
      const isLong = fieldOf(spec, 'size') === '1026M';
      return [
        isHuge ? 'vmalloc of large blocks' : 'vmalloc',
        ...(isLong ? ['more large blocks than a chunk names'] : []),
      ];
    }
    case 'preserve pages':
      if (/^[34]G$/.test(String(fieldOf(spec, 'size')))) return [verb, 'a block of 2 GiB'];
      return at === 'node-border' ? [verb, 'across nodes'] : [verb];
    default:
      return at === 'scratch' ? [verb, 'inside scratch'] : [verb];
  }
}

/** Everything that a plan has in it, each once. */
export function featuresOf(plan: FuzzPlan): ReadonlySet<string> {
  const features = [...machineFeatures(plan), ...kernelFeatures(plan.kernel, 'first'), ...ordersOf(plan)];
  let { release } = plan.kernel;
  let hops = 0;
  for (const step of plan.steps) {
    const { verb, spec } = stepOf(step);
    if (verb === 'kexec') {
      hops++;
      release = String(fieldOf(spec, 'release') ?? release);
      features.push(...kernelFeatures(spec, 'jump to'));
    } else features.push(...stepFeatures(verb, spec, release));
    if (fieldOf(spec, 'as') === LAST_OBJECT) features.push('second phase');
  }
  if (fillsScratch(plan)) features.push('more regions than memblock has room for');
  features.push(`${hops} ${hops === 1 ? 'jump' : 'jumps'}`);
  return new Set(features);
}
