import type { KernelContext } from '../context.ts';
import { type Errno, isErrno } from '../errno.ts';

export type MetadataContext = Pick<KernelContext, 'release' | 'abi' | 'memory' | 'kho' | 'log' | 'control'>;

/** What the predecessor said about itself. */
export interface KexecMetadata {
  readonly previousRelease: string;
  /** Handovers since the last cold boot, the one just done included. */
  readonly kexecCount: number;
}

const VERSION_BYTES = 4;

/**
 * Reads the predecessor's kexec-metadata (7.1 on), and mirrors it into the control state. Reasons to ignore it are
 * logged: shorter than its version, another version, shorter than the struct. A longer blob is accepted.
 * @returns undefined when there is none to be used.
 * @throws MachineFault when the blob isn't in RAM.
 */
export function readKexecMetadata(ctx: MetadataContext): KexecMetadata | undefined {
  const contract = ctx.release.metadata;
  if (contract === undefined) return undefined;
  const location = ctx.kho.retrieveSubtree(contract.subtree.name);
  if (isErrno(location)) return undefined;
  const { log, memory, abi } = ctx;
  const struct = abi.struct(contract.subtree.struct ?? 'kho_kexec_metadata');
  const sizeBytes = location.sizeBytes ?? 0;
  if (sizeBytes < VERSION_BYTES) {
    log.warn(`KHO: kexec-metadata blob too small (${sizeBytes} bytes)`);
    return undefined;
  }
  const version = struct.get(memory, location.phys, 'version');
  if (version !== contract.compatible) {
    log.warn(`KHO: kexec-metadata version ${version} not supported (expected ${contract.compatible})`);
    return undefined;
  }
  if (sizeBytes < struct.sizeBytes) {
    log.warn(`KHO: kexec-metadata blob too small for v${version} (${sizeBytes} < ${struct.sizeBytes})`);
    return undefined;
  }
  const kexecCount = struct.get(memory, location.phys, 'kexec_count');
  const previousRelease = struct
    .getString(memory, location.phys, 'previous_release')
    .slice(0, struct.sizeOf('previous_release') - 1);
  log.info(`KHO: exec from: ${previousRelease} (count ${kexecCount})`);
  ctx.control.update((draft) => {
    draft.kexecCount = kexecCount;
    draft.previousRelease = previousRelease;
  });
  return { previousRelease, kexecCount };
}

/**
 * Hangs this kernel's metadata into the outgoing FDT: its own release and one handover more.
 * @param kexecCount as the predecessor counted, 0 after a cold boot.
 * @returns 0 (also for releases without metadata), or an errno, after a line in the log.
 */
export function writeKexecMetadata(ctx: MetadataContext, uts: string, kexecCount: number): 0 | Errno {
  const contract = ctx.release.metadata;
  if (contract === undefined) return 0;
  const { kho, memory, abi } = ctx;
  const struct = abi.struct(contract.subtree.struct ?? 'kho_kexec_metadata');
  const fail = (err: Errno): Errno => {
    ctx.log.warn(`KHO: failed to initialize kexec-metadata subtree: ${err}`);
    return err;
  };
  const at = kho.allocPreserve(struct.sizeBytes);
  if (isErrno(at)) return fail(at);
  struct.set(memory, at, 'version', Number(contract.compatible));
  struct.setString(memory, at, 'previous_release', uts);
  struct.set(memory, at, 'kexec_count', kexecCount + 1);
  const err = kho.addSubtree(contract.subtree.name, at, struct.sizeBytes);
  if (err === 0) return 0;
  kho.unpreserveFree(at, struct.sizeBytes);
  return fail(err);
}
