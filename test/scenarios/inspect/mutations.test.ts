import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { inspectImage } from '../../../scenarios/inspect/inspect.ts';
import { FIXTURES, loadFixture, patched } from './sparse-image.ts';

interface Mutation {
  readonly name: string;
  readonly patches: readonly string[];
  readonly handoff: { readonly fdt_len?: number; readonly scratch_len?: number };
}

const NAME = 'linux-7.3.4-arm64-4k';
const MUTATIONS: readonly Mutation[] = JSON.parse(readFileSync(join(FIXTURES, NAME, 'mutations.json'), 'utf8'));

/** What no check can catch, because a kernel could have written it just so. */
const BEYOND_CHECKS: Readonly<Record<string, string>> = {
  baseline: 'nothing was changed',
  'metadata-count-41': 'a machine may have been through 41 handovers of which one was a live update',
};

test('every change to a real handover that a check can catch has its finding', () => {
  const image = loadFixture(NAME);
  const found: Record<string, string> = {};
  for (const { name, patches, handoff } of MUTATIONS) {
    const changed = patched(
      image,
      patches.map((patch) => {
        const [phys, hex] = patch.split(':');
        return { phys: Number(phys), bytes: Uint8Array.from(Buffer.from(hex ?? '', 'hex')) };
      }),
    );
    const { document } = inspectImage({
      ...changed,
      fdt: { phys: changed.fdt?.phys ?? 0, sizeBytes: handoff.fdt_len ?? 4096 },
      scratch: { phys: changed.scratch?.phys ?? 0, sizeBytes: handoff.scratch_len ?? 48 },
    });
    const codes = [...new Set(document.findings.map(({ severity, code }) => `${severity} ${code}`))];
    found[name] = codes.join(', ');
  }
  const silent = Object.keys(found).filter((name) => found[name] === '');
  expect(silent.sort()).toEqual(Object.keys(BEYOND_CHECKS).sort());
  expect(found).toMatchInlineSnapshot(`
    {
      "baseline": "",
      "child-pointer-unaligned+8": "error radix-node-alignment, error subtree-not-preserved, error test-folio",
      "fdt-bad-magic": "error fdt-header",
      "fdt-len-2-pages": "warning handoff-fdt-length",
      "fdt-len-40": "warning handoff-fdt-length",
      "fdt-memory-map-len4": "error fdt-structure, error map-size",
      "fdt-no-memory-map-prop": "error map-missing, warning fdt-unknown-property",
      "fdt-totalsize-too-small": "error fdt-header",
      "fdt-version-16": "warning fdt-version",
      "file-unknown-compatible": "error file-compatible, warning preserved-unowned",
      "luo-sessions-zero": "warning flb-count, warning preserved-unowned",
      "luo-size-31": "error luo-size",
      "memblock-compatible-v2": "error memblock-compatible",
      "memfd-bad-seals": "error memfd-seals",
      "memfd-folio-not-preserved": "error memfd-folio-not-preserved",
      "memfd-nr-folios-too-big": "error memfd-folio-count, warning preserved-unowned",
      "memfd-size-grow": "warning memfd-hole",
      "memfd-vmalloc-first-0": "error vmalloc-first, warning preserved-unowned",
      "memfd-vmalloc-total-pages-2": "error vmalloc-count, warning memfd-array-size",
      "metadata-count-41": "",
      "metadata-size-8": "error metadata-size",
      "preserved-inside-scratch": "error preserved-in-scratch, warning preserved-unowned",
      "root-table-truncated-child-0": "error subtree-not-preserved, error test-folio",
      "scratch-array-len-2-of-3": "warning scratch-array-length",
      "scratch-entry-addr-outside-ram": "error scratch-outside-ram",
      "scratch-len-0": "error scratch-array-unreadable",
      "session-block-count-0": "error block-count, warning flb-count, warning preserved-unowned",
      "session-block-self-cycle": "error block-cycle",
      "session-duplicate-name": "error session-duplicate",
      "subtree-phys-0": "error subtree-outside-ram, warning preserved-unowned",
      "subtree-renamed-kho_test": "warning subtree-unknown, warning preserved-unowned",
      "test-folio-wrong-order-in-list": "error test-folio, error test-checksum",
      "test-magic-wrong": "error test-format",
      "test-vmalloc-chunk-not-preserved": "error vmalloc-chunk-not-preserved",
    }
  `);
});
