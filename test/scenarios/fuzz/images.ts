import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { bytesSource } from '../../../machine/image/byte-source.ts';
import { parseSparseManifest, sparseImage } from '../../../machine/image/sparse.ts';
import { PAGE_4K, type PageSize } from '../../../machine/page-size.ts';
import { CorruptionBench, type CorruptionSource, sourceOfImage } from '../../../scenarios/fuzz/corruption.ts';
import { captureImage } from '../../../scenarios/run/export.ts';
import { libraryScenario } from '../../../scenarios/run/library.ts';
import { runScenario } from '../../../scenarios/run/runner.ts';

const FIXTURES = resolve(import.meta.dirname, '../../fixtures');

export const CMDLINE = 'kho=on liveupdate=on reserve_mem=2M:64K:khosim_rm kho_scratch=32M,16M,16M';

/** CPU time of this process in milliseconds: what a try costs, whoever else is busy. */
function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function bench(source: CorruptionSource): CorruptionBench {
  return new CorruptionBench(source, cpuTime);
}

/** Real memory among the fixtures, ready to be corrupted. */
export function realBench(name: string): CorruptionBench {
  const folder = join(FIXTURES, name);
  const manifest = parseSparseManifest(JSON.parse(readFileSync(join(folder, 'image.json'), 'utf8')));
  const image = sparseImage(manifest, bytesSource(gunzipSync(readFileSync(join(folder, manifest.data)))));
  return bench(sourceOfImage(image, CMDLINE));
}

/** What a scenario of the library exports, ready to be corrupted. */
export function exportedBench(name: string, page: PageSize = PAGE_4K): CorruptionBench {
  let captured: ReturnType<typeof captureImage>;
  const scenario = libraryScenario(name);
  runScenario(scenario, {
    page,
    atLastJump: (...at) => {
      captured = captureImage(...at);
    },
  });
  if (captured === undefined) throw new Error(`${name} exports nothing`);
  const image = sparseImage(
    parseSparseManifest(JSON.parse(JSON.stringify(captured.document))),
    bytesSource(captured.data),
  );
  return bench(sourceOfImage(image, scenario.spec.kernel.cmdline));
}
