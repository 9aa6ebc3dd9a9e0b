import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const LAYERS = ['machine', 'kernel', 'scenarios'] as const;

function sources(folder: string): { file: string; text: string }[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => ({ file: join(folder, name), text: readFileSync(join(root, folder, name), 'utf8') }));
}

function importsOf(text: string): string[] {
  return [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].map((match) => match[1] ?? '');
}

test('imports only point down: scenarios to kernel to machine', () => {
  const wrong: string[] = [];
  for (const [level, layer] of LAYERS.entries()) {
    for (const { file, text } of sources(layer)) {
      for (const target of importsOf(text)) {
        if (!target.startsWith('.')) continue;
        const top = relative(root, resolve(root, dirname(file), target)).split('/')[0] ?? '';
        const targetLevel = LAYERS.indexOf(top as (typeof LAYERS)[number]);
        if (targetLevel < 0 || targetLevel > level) wrong.push(`${file} imports ${target}`);
      }
    }
  }
  expect(wrong).toEqual([]);
});

test('machine and kernel know nothing of Node and nothing of the real clock', () => {
  const wrong: string[] = [];
  for (const { file, text } of [...sources('machine'), ...sources('kernel')]) {
    for (const target of importsOf(text)) {
      if (!target.startsWith('.') && target !== 'immer') wrong.push(`${file} imports ${target}`);
    }
    const call = /\bDate\.now\b|\bnew Date\b|\bMath\.random\b|\bperformance\.|\bprocess\.|\bconsole\./.exec(text);
    if (call !== null) wrong.push(`${file} uses ${call[0]}`);
  }
  expect(wrong).toEqual([]);
});
