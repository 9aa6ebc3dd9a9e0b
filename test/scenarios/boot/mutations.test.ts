import { describe, expect, test } from 'vitest';
import { releaseByName } from '../../../kernel/index.ts';
import { type BootDocument, bootImage } from '../../../scenarios/boot/boot-image.ts';
import { type Changes, fixtureJson, subjectOf } from './subject.ts';

const FOLDER = 'linux-7.3.4-arm64-4k';
const CMDLINE = 'kho=on liveupdate=on reserve_mem=2M:64K:khosim_rm kho_scratch=32M,16M,16M';

interface Mutation extends Required<Changes> {
  readonly name: string;
  readonly kernel: {
    readonly outcome: string;
    readonly khoTest: string;
    readonly previousRelease: string | null;
    readonly kexecCount: number | null;
    readonly liveupdateNumber: number | null;
    readonly revivedReserveMem: readonly string[];
    readonly filesIntact: Readonly<Record<string, boolean>>;
    readonly log: readonly string[];
  };
}

interface Expected {
  readonly luo: {
    readonly sessions: readonly {
      readonly name: string;
      readonly files: readonly {
        readonly token: string;
        readonly size: number;
        readonly pos: number;
        readonly seals: number;
        readonly sha256: string;
      }[];
    }[];
  };
}

const mutations = fixtureJson<Mutation[]>(`${FOLDER}/mutations.json`);
const expected = fixtureJson<Expected>(`${FOLDER}/expected.json`);

function intactFiles(document: BootDocument): Record<string, boolean> {
  const out: Record<string, boolean> = {};
  for (const session of expected.luo.sessions) {
    for (const { token, size, pos, seals, sha256 } of session.files) {
      const key = `${session.name}/${token}`;
      const found = document.files[key];
      out[key] = found !== undefined && !('error' in found) && found.sha256 === sha256;
      if (out[key]) expect(found).toEqual({ size, pos, seals, sha256 });
    }
  }
  return out;
}

/** What subsystems print, of a WARN the function. How an oops looks is the architecture's; the outcome says that it was. */
function linesThatMatter(log: readonly string[]): string[] {
  return log
    .filter((line) => /^(KHO|luo|test_kho): |memory reservation|^FDT 'memblock'|^WARNING: |^Kernel panic/.test(line))
    .map((line) => line.replace(/(WARNING: at \w+).*/, '$1'))
    .filter((line) => !/Attempted to kill/.test(line));
}

describe('single changes to real memory, and what a real 7.3.4 kernel did', () => {
  const release = releaseByName('7.3');
  if (release === undefined) throw new Error('no release 7.3');

  test.each(mutations.map((mutation) => [mutation.name, mutation] as const))('%s', (_, mutation) => {
    const document = bootImage(subjectOf(FOLDER, mutation), { release, cmdline: CMDLINE });
    const { kernel } = mutation;
    expect({
      outcome: document.outcome,
      khoTest: document.khoTest,
      previousRelease: document.kexecMetadata?.previousRelease ?? null,
      kexecCount: document.kexecMetadata?.kexecCount ?? null,
      liveupdateNumber: document.liveupdateNumber,
      revivedReserveMem: document.revivedReserveMem,
      filesIntact: intactFiles(document),
    }).toEqual({
      outcome: kernel.outcome,
      khoTest: kernel.khoTest,
      previousRelease: kernel.previousRelease,
      kexecCount: kernel.kexecCount,
      liveupdateNumber: kernel.liveupdateNumber,
      revivedReserveMem: kernel.revivedReserveMem,
      filesIntact: kernel.filesIntact,
    });
    expect(linesThatMatter(document.log)).toEqual(linesThatMatter(kernel.log));
  });
});
