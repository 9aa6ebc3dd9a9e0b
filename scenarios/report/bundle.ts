import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { packageRoot } from '../package-root.ts';

const IMPORT = /^import\s[^;]*?from\s*'(\.[^']+)';\n?/gm;

/**
 * The page's script as one text: what tsc made of client/*.ts, modules in the order in which they need each other, their
 * imports and exports taken away. They share one scope, so two modules must not give one name to different things.
 * @throws Error when the project was not built.
 */
export function clientScript(): string {
  const folder = join(packageRoot(), 'dist/scenarios/report/client');
  const done = new Set<string>();
  const parts: string[] = [];
  const add = (path: string): void => {
    if (done.has(path)) return;
    done.add(path);
    const text = readFileSync(path, 'utf8');
    for (const match of text.matchAll(IMPORT)) add(join(dirname(path), match[1] ?? ''));
    parts.push(
      text
        .replace(IMPORT, '')
        .replace(/^export \{\};\n?/gm, '')
        .replace(/^export /gm, ''),
    );
  };
  add(join(folder, 'main.js'));
  return `(() => {\n'use strict';\n${parts.join('')}})();\n`;
}
