import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../input-error.ts';

/*
 * What /sys/kernel/debug/kho shows (kernel/liveupdate/kexec_handover_debugfs.c, 6.16 to 7.3): `in` is what this kernel
 * got, `out` what it will leave.
 *
 *     in/fdt  in/sub_fdts/NAME        out/fdt  out/sub_fdts/NAME  out/scratch_phys  out/scratch_len  (out/finalize)
 *
 * `scratch_phys` and `scratch_len` have one hex number per line, the areas in order.
 */

/** The blobs of a handover, without the RAM that they point into. */
export interface DebugfsHandover {
  readonly directory: string;
  /** `in`, `out`, or undefined where the directory's name doesn't say. */
  readonly side: 'in' | 'out' | undefined;
  /** The root FDT. */
  readonly fdt: Uint8Array;
  /** Blobs by the name of their node, sorted. */
  readonly subtrees: ReadonlyMap<string, Uint8Array>;
  /** The scratch areas, undefined where the directory has none (`in`). */
  readonly scratch: readonly { readonly phys: number; readonly sizeBytes: number }[] | undefined;
}

/** No blob of a handover is larger than this: an FDT is a page. */
const MAX_BLOB_BYTES = 64 * 2 ** 20;

/** The directory with the blobs: the one given, or its `in`, or its `out`. */
export function findDebugfsDirectory(path: string): string | undefined {
  return [path, join(path, 'in'), join(path, 'out')].find((directory) => existsSync(join(directory, 'fdt')));
}

/**
 * Reads a debugfs directory or a copy of one.
 * @throws InputError if it has no `fdt`, or what is there is not what the kernel writes.
 */
export function readDebugfsHandover(path: string): DebugfsHandover {
  const directory = findDebugfsDirectory(path);
  if (directory === undefined) {
    throw new InputError({
      message: 'has no `fdt`',
      file: path,
      hint: 'up to 6.18 out/fdt is there only while the handover is finalized: echo 1 > out/finalize',
    });
  }
  const subtrees = new Map<string, Uint8Array>();
  const subDirectory = join(directory, 'sub_fdts');
  if (existsSync(subDirectory)) {
    for (const name of readdirSync(subDirectory).sort()) subtrees.set(name, readBlob(join(subDirectory, name)));
  }
  const side = /(?:^|\/)(in|out)\/?$/.exec(directory)?.[1];
  return {
    directory,
    side: side === 'in' || side === 'out' ? side : undefined,
    fdt: readBlob(join(directory, 'fdt')),
    subtrees,
    scratch: readScratch(directory),
  };
}

function readBlob(path: string): Uint8Array {
  if (!statSync(path).isFile()) throw new InputError({ message: 'is not a file', file: path });
  const bytes = readFileSync(path);
  if (bytes.length > MAX_BLOB_BYTES)
    throw new InputError({ message: `${bytes.length} bytes are no blob of a handover`, file: path });
  return Uint8Array.from(bytes);
}

function readScratch(directory: string): DebugfsHandover['scratch'] {
  const paths = [join(directory, 'scratch_phys'), join(directory, 'scratch_len')] as const;
  if (!existsSync(paths[0]) && !existsSync(paths[1])) return undefined;
  const [phys, sizes] = [readNumbers(paths[0]), readNumbers(paths[1])];
  if (phys.length !== sizes.length) {
    throw new InputError({
      message: `${phys.length} addresses in scratch_phys, ${sizes.length} sizes in scratch_len`,
      file: directory,
      hint: 'both have one line for each scratch area',
    });
  }
  return phys.map((address, i) => ({ phys: address, sizeBytes: sizes[i] ?? 0 }));
}

function readNumbers(path: string): number[] {
  if (!existsSync(path)) throw new InputError({ message: 'is not there', file: path });
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.flatMap((line, i) => {
    if (line.trim() === '') return [];
    const value = /^0x[0-9a-f]{1,16}$/i.test(line.trim()) ? Number(line.trim()) : Number.NaN;
    if (!Number.isSafeInteger(value)) {
      throw new InputError({ message: `not a hex number: ${line}`, file: path, line: i + 1 });
    }
    return [value];
  });
}
