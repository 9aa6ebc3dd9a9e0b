import type { PageSize, PhysAddr, PhysicalMemory } from '../../machine/index.ts';
import { nodeSpecOf, type PropertySpec, propertySpecOf, type RootContract } from '../abi/contract.ts';
import { decodeNumber, encodeNumber } from '../abi/property.ts';
import { EEXIST, EINVAL, ENOENT, ENOMEM, type Errno } from '../errno.ts';
import { fdtAddSubnode, fdtDelNode, fdtOpenInto, fdtPack, fdtSetprop } from '../fdt/edit.ts';
import { FDT_ERR_EXISTS, FDT_ERR_NOSPACE, isFdtErr } from '../fdt/error.ts';
import { fdtFirstSubnode, fdtGetName, fdtGetprop, fdtNextSubnode, fdtSubnodeOffset } from '../fdt/read.ts';
import { cString, textOfBytes } from '../fdt/text.ts';
import { fdtBeginNode, fdtCreate, fdtEndNode, fdtFinish, fdtFinishReservemap, fdtProperty } from '../fdt/write.ts';
import { fdtViewAt } from './fdt-view.ts';
import type { SubtreeLocation } from './kho.ts';

/** A subtree that is to be listed in a root FDT. */
export interface SubtreeEntry {
  readonly name: string;
  readonly phys: PhysAddr;
  readonly sizeBytes: number;
}

/** A property's number, the nearest double beyond 2^53; undefined when its length is not the contract's. */
function numberIn(property: PropertySpec, value: Uint8Array): number | undefined {
  const number = decodeNumber(property, value);
  return number === undefined ? undefined : Number(number);
}

function propertyValue(
  property: PropertySpec,
  contract: RootContract,
  values: Readonly<Record<string, number>>,
): Uint8Array {
  if (property.type === 'string') return cString(property.value ?? String(contract.compatible));
  return encodeNumber(property, values[property.key] ?? 0);
}

/**
 * The root FDT that a kernel writes for the next: one page in RAM, changed there and nowhere else, by the contract of
 * its release.
 */
export class OutgoingRootFdt {
  readonly phys: PhysAddr;
  readonly #memory: PhysicalMemory;
  readonly #page: PageSize;
  readonly #contract: RootContract;
  readonly #cleansUp: boolean;

  /** @param cleansUp whether running out of room is -ENOMEM and undone (7.1), or libfdt's number and half a node. */
  constructor(memory: PhysicalMemory, page: PageSize, contract: RootContract, phys: PhysAddr, cleansUp = true) {
    this.#memory = memory;
    this.#page = page;
    this.#contract = contract;
    this.#cleansUp = cleansUp;
    this.phys = phys;
  }

  #read(): Uint8Array {
    return this.#memory.readBytes(this.phys, this.#page.sizeBytes);
  }

  #write(bytes: Uint8Array): void {
    this.#memory.writeBytes(this.phys, bytes);
  }

  /**
   * Writes the whole FDT in one go: the root with its map property, and the subtrees in the order given (releases that
   * build it when the handover is finalised; the others begin with none).
   * @returns 0, or -ENOMEM when it does not fit its page.
   */
  writeAll(map: number, subtrees: readonly SubtreeEntry[]): 0 | Errno {
    const fdt = this.#read();
    let err = fdtCreate(fdt) | fdtFinishReservemap(fdt) | fdtBeginNode(fdt, '');
    for (const property of nodeSpecOf(this.#contract, 'root').properties) {
      err |= fdtProperty(fdt, property.name, propertyValue(property, this.#contract, { map }));
    }
    for (const subtree of subtrees) {
      err |= fdtBeginNode(fdt, subtree.name);
      for (const property of nodeSpecOf(this.#contract, 'subtree').properties) {
        const value = propertyValue(property, this.#contract, { data: subtree.phys, size: subtree.sizeBytes });
        err |= fdtProperty(fdt, property.name, value);
      }
      err |= fdtEndNode(fdt);
    }
    err |= fdtEndNode(fdt) | fdtFinish(fdt);
    this.#write(fdt);
    return err === 0 ? 0 : ENOMEM;
  }

  /**
   * kho_add_subtree: -EEXIST for a name that is taken, -ENOMEM when the page is full.
   * @param full as if the page were full behind the node's name.
   */
  add(subtree: SubtreeEntry, full = false): 0 | Errno {
    const fdt = this.#read();
    if (isFdtErr(fdtOpenInto(fdt, fdt))) return ENOMEM;
    const result = this.#addNode(fdt, subtree, full);
    fdtPack(fdt);
    this.#write(fdt);
    return result;
  }

  #addNode(fdt: Uint8Array, subtree: SubtreeEntry, full: boolean): 0 | Errno {
    const node = fdtAddSubnode(fdt, 0, subtree.name);
    if (isFdtErr(node)) return node === FDT_ERR_EXISTS ? EEXIST : ENOMEM;
    for (const property of nodeSpecOf(this.#contract, 'subtree').properties) {
      const value = propertyValue(property, this.#contract, { data: subtree.phys, size: subtree.sizeBytes });
      const err = full ? FDT_ERR_NOSPACE : fdtSetprop(fdt, node, property.name, value);
      if (err === 0) continue;
      // Up to 7.0 the half-made node stays, and libfdt's number is returned as if it were an errno.
      if (!this.#cleansUp) return err as number as Errno;
      fdtDelNode(fdt, node);
      return ENOMEM;
    }
    return 0;
  }

  /** kho_remove_subtree: removes the first node whose data is at `phys`; its strings stay. */
  remove(phys: PhysAddr): void {
    const fdt = this.#read();
    if (isFdtErr(fdtOpenInto(fdt, fdt))) return;
    const data = propertySpecOf(this.#contract, 'subtree', 'data');
    for (let node = fdtFirstSubnode(fdt, 0); !isFdtErr(node); node = fdtNextSubnode(fdt, node)) {
      const property = fdtGetprop(fdt, node, data?.name ?? '');
      if (data === undefined || isFdtErr(property) || numberIn(data, property.value) !== phys) continue;
      fdtDelNode(fdt, node);
      break;
    }
    fdtPack(fdt);
    this.#write(fdt);
  }

  /** Overwrites the map property's value in place (releases that finalise). */
  setMap(map: number): void {
    const fdt = this.#read();
    const spec = propertySpecOf(this.#contract, 'root', 'map');
    const property = fdtGetprop(fdt, 0, spec?.name ?? '');
    if (spec === undefined || isFdtErr(property)) return;
    property.value.set(encodeNumber(spec, map));
    this.#write(fdt);
  }

  /** The subtrees listed at present, in the order on disk. */
  subtrees(): SubtreeEntry[] {
    return listSubtrees(fdtViewAt(this.#memory, this.phys), this.#contract);
  }
}

/** The root FDT that the predecessor left, read where it lies, with libfdt's leniency. */
export class IncomingRootFdt {
  readonly phys: PhysAddr;
  readonly #memory: PhysicalMemory;
  readonly #contract: RootContract;

  constructor(memory: PhysicalMemory, contract: RootContract, phys: PhysAddr) {
    this.#memory = memory;
    this.#contract = contract;
    this.phys = phys;
  }

  /**
   * kho_retrieve_subtree. -ENOENT without a node of that name, -EINVAL when a property is missing or not 8 bytes.
   * @param warn gets the line that kernels print for a bad size property.
   */
  retrieve(name: string, warn: (text: string) => void): SubtreeLocation | Errno {
    const fdt = fdtViewAt(this.#memory, this.phys);
    const node = fdtSubnodeOffset(fdt, 0, name);
    if (isFdtErr(node)) return ENOENT;
    const spec = nodeSpecOf(this.#contract, 'subtree');
    const location: { phys: PhysAddr; sizeBytes: number | undefined } = { phys: 0 as PhysAddr, sizeBytes: undefined };
    for (const property of spec.properties) {
      const found = fdtGetprop(fdt, node, property.name);
      const value = isFdtErr(found) ? undefined : numberIn(property, found.value);
      if (value === undefined) {
        if (!property.required) continue;
        if (property.key === 'size') {
          warn(`KHO: broken KHO subnode '${name}': missing or invalid ${property.name} property`);
        }
        return EINVAL;
      }
      if (property.key === 'data') location.phys = value as PhysAddr;
      else if (property.key === 'size') location.sizeBytes = value;
    }
    return location;
  }

  /** The value of the map property; undefined when it is missing or not 8 bytes. */
  map(): number | undefined {
    return mapOf(fdtViewAt(this.#memory, this.phys), this.#contract);
  }

  subtrees(): SubtreeEntry[] {
    return listSubtrees(fdtViewAt(this.#memory, this.phys), this.#contract);
  }
}

/** The map property of a root FDT; undefined when it is missing or not 8 bytes. */
export function mapOf(fdt: Uint8Array, contract: RootContract): number | undefined {
  const spec = propertySpecOf(contract, 'root', 'map');
  const found = fdtGetprop(fdt, 0, spec?.name ?? '');
  return spec === undefined || isFdtErr(found) ? undefined : numberIn(spec, found.value);
}

function listSubtrees(fdt: Uint8Array, contract: RootContract): SubtreeEntry[] {
  const entries: SubtreeEntry[] = [];
  const numberAt = (node: number, spec: PropertySpec | undefined): number | undefined => {
    const found = fdtGetprop(fdt, node, spec?.name ?? '');
    return spec === undefined || isFdtErr(found) ? undefined : numberIn(spec, found.value);
  };
  const [data, size] = ['data', 'size'].map((key) => propertySpecOf(contract, 'subtree', key));
  for (let node = fdtFirstSubnode(fdt, 0); !isFdtErr(node); node = fdtNextSubnode(fdt, node)) {
    const name = fdtGetName(fdt, node);
    const phys = numberAt(node, data);
    if (isFdtErr(name) || phys === undefined) continue;
    entries.push({ name: textOfBytes(name), phys: phys as PhysAddr, sizeBytes: numberAt(node, size) ?? 0 });
  }
  return entries;
}
