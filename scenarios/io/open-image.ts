import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { type ByteSource, bytesSource } from '../../machine/image/byte-source.ts';
import { elfCoreImage, isElf } from '../../machine/image/elf-core.ts';
import { ImageError } from '../../machine/image/image-error.ts';
import type { MemoryImage } from '../../machine/image/memory-image.ts';
import { rawImage } from '../../machine/image/raw.ts';
import { parseSparseManifest, sparseImage } from '../../machine/image/sparse.ts';
import { InputError, type InputMessage } from '../input-error.ts';
import { type DebugfsHandover, findDebugfsDirectory, readDebugfsHandover } from './debugfs-dir.ts';
import { FileSource } from './file-source.ts';

/** What a path turned out to be. */
export type OpenedImage =
  | { readonly kind: 'memory'; readonly image: MemoryImage; close(): void }
  /** Blobs from debugfs: there is no RAM around them. */
  | { readonly kind: 'debugfs'; readonly handover: DebugfsHandover; close(): void };

export interface OpenImageOptions {
  /** `--ram-base`: the file is raw RAM from this address on. */
  readonly ramBase?: number | undefined;
}

const HEAD_BYTES = 4096;

/** Headers of dumps that are not taken, and how to get one that is. */
const FOREIGN: readonly { readonly magic: string; readonly what: string; readonly hint: string }[] = [
  { magic: '1f8b', what: 'gzip data', hint: 'unpack it first: gunzip FILE' },
  { magic: '28b52ffd', what: 'zstd data', hint: 'unpack it first: zstd -d FILE' },
  { magic: 'fd377a585a00', what: 'xz data', hint: 'unpack it first: xz -d FILE' },
  {
    magic: Buffer.from('KDUMP   ').toString('hex'),
    what: 'a compressed kdump',
    hint: 'dump as ELF: dump-guest-memory without -z, -l or -s; makedumpfile -E',
  },
  {
    magic: Buffer.from('makedumpfile').toString('hex'),
    what: 'a flattened kdump',
    hint: 'rebuild it with makedumpfile -R, as ELF with -E',
  },
  { magic: '514649fb', what: 'a qcow2 disk', hint: 'dump the memory of the machine: dump-guest-memory FILE' },
  { magic: Buffer.from('QEVM').toString('hex'), what: 'a QEMU migration stream', hint: 'use dump-guest-memory FILE' },
  { magic: 'd00dfeed', what: 'a bare devicetree', hint: 'put it as `fdt` into a directory, beside `sub_fdts`' },
];

/**
 * Opens an image by path: a khosim-sparse-1 document or a directory with one, an ELF core, raw RAM, or a debugfs
 * directory (/sys/kernel/debug/kho/in, or a copy of it).
 * @throws InputError for whatever cannot be used, with how to mend it.
 */
export function openImage(path: string, options: OpenImageOptions = {}): OpenedImage {
  try {
    return statSync(path).isDirectory() ? openDirectory(path, options) : openFile(path, options);
  } catch (error) {
    throw asInputError(error, path);
  }
}

/** Messages that name the file, for what a container or the system says. Anything else is passed on. */
function asInputError(error: unknown, path: string): unknown {
  if (error instanceof ImageError) {
    return new InputError(
      error.problems.map(
        ({ message, where, hint }): InputMessage => ({
          message: where === undefined ? message : `${where}: ${message}`,
          file: path,
          ...(hint === undefined ? {} : { hint }),
        }),
      ),
    );
  }
  const code = (error as { code?: unknown } | undefined)?.code;
  if (error instanceof Error && typeof code === 'string' && /^E[A-Z]+$/.test(code)) {
    const file = (error as { path?: unknown }).path;
    const known: Readonly<Record<string, string>> = {
      ENOENT: 'no such file or directory',
      EACCES: 'may not be read',
      ENOTDIR: 'is not a directory',
      EISDIR: 'is a directory',
    };
    return new InputError({ message: known[code] ?? code, file: typeof file === 'string' ? file : path });
  }
  return error;
}

function openDirectory(path: string, options: OpenImageOptions): OpenedImage {
  const document = join(path, 'image.json');
  if (existsSync(document)) return openFile(document, options);
  if (findDebugfsDirectory(path) !== undefined) {
    return { kind: 'debugfs', handover: readDebugfsHandover(path), close: () => {} };
  }
  throw new InputError({
    message: 'a directory with neither image.json nor the `fdt` of a debugfs directory',
    file: path,
    hint: 'give an image, or a copy of /sys/kernel/debug/kho/in',
  });
}

function openFile(path: string, options: OpenImageOptions): OpenedImage {
  const source = new FileSource(path);
  try {
    const head = source.read(0, Math.min(HEAD_BYTES, source.sizeBytes));
    if (options.ramBase !== undefined) refuseHeader(path, head);
    else if (path.endsWith('.json') || looksLikeJson(head)) {
      source.close();
      return openSparse(path);
    }
    const image =
      options.ramBase !== undefined
        ? rawImage(source, options.ramBase)
        : isElf(head)
          ? elfCoreImage(source)
          : refuseUnknown(path, head);
    return { kind: 'memory', image, close: () => source.close() };
  } catch (error) {
    source.close();
    throw error;
  }
}

function looksLikeJson(head: Uint8Array): boolean {
  return /^\s*\{\s*"/.test(Buffer.from(head.subarray(0, 64)).toString('latin1'));
}

/** Raw RAM has no header: a base address for something that has one is a mistake. */
function refuseHeader(path: string, head: Uint8Array): void {
  const what = isElf(head) ? 'an ELF core' : looksLikeJson(head) ? 'a JSON document' : undefined;
  if (what === undefined) return;
  throw new InputError({ message: `is ${what}, not raw RAM`, file: path, hint: 'leave out --ram-base' });
}

function refuseUnknown(path: string, head: Uint8Array): never {
  const digits = Buffer.from(head).toString('hex');
  const foreign = FOREIGN.find(({ magic }) => digits.startsWith(magic));
  if (foreign !== undefined) {
    throw new InputError({ message: `is ${foreign.what}, not a memory image`, file: path, hint: foreign.hint });
  }
  if (head.length === 0) throw new InputError({ message: 'is empty', file: path });
  throw new InputError({
    message: 'is neither a khosim-sparse-1 document nor an ELF core',
    file: path,
    hint: 'if it is raw RAM, say where it begins: --ram-base ADDR',
  });
}

function openSparse(path: string): OpenedImage {
  const document = parseJson(path);
  const manifest = parseSparseManifest(document);
  const dataPath = join(dirname(path), manifest.data);
  if (!existsSync(dataPath)) {
    throw new InputError({
      message: `the data file ${manifest.data} is not there`,
      file: path,
      hint: 'the document and its data file belong into one directory',
    });
  }
  if (!manifest.data.endsWith('.gz')) {
    const source = new FileSource(dataPath);
    return { kind: 'memory', image: withDataFile(source, dataPath, manifest), close: () => source.close() };
  }
  const source = bytesSource(unpack(dataPath));
  return { kind: 'memory', image: withDataFile(source, dataPath, manifest), close: () => {} };
}

function withDataFile(source: ByteSource, path: string, manifest: ReturnType<typeof parseSparseManifest>): MemoryImage {
  try {
    return sparseImage(manifest, source);
  } catch (error) {
    throw asInputError(error, path);
  }
}

function unpack(path: string): Uint8Array {
  try {
    return gunzipSync(readFileSync(path));
  } catch (error) {
    throw new InputError({
      message: `cannot be unpacked: ${error instanceof Error ? error.message : 'not gzip'}`,
      file: path,
      hint: 'the file is truncated or damaged',
    });
  }
}

/** @throws InputError with the line of a mistake, as far as the parser tells. */
function parseJson(path: string): unknown {
  const text = readFileSync(path, 'utf8');
  try {
    return JSON.parse(text);
  } catch (error) {
    const message = error instanceof Error ? error.message : 'not JSON';
    const position = /position (\d+)/.exec(message)?.[1];
    throw new InputError({
      message: `not JSON: ${message.replace(/\s+/g, ' ')}`,
      file: path,
      ...(position === undefined ? {} : { line: text.slice(0, Number(position)).split('\n').length }),
      hint: 'a khosim-sparse-1 document is JSON; is the file truncated?',
    });
  }
}
