import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import * as sites from '../../kernel/fault-sites.ts';

const KERNEL = resolve(import.meta.dirname, '../../kernel');

/** All of the kernel's code but the list itself. */
function code(): string {
  const files = readdirSync(KERNEL, { recursive: true, encoding: 'utf8' });
  return files
    .filter((file) => file.endsWith('.ts') && !file.endsWith('fault-sites.ts'))
    .map((file) => readFileSync(join(KERNEL, file), 'utf8'))
    .join('\n');
}

test('every fault site has its line in the list, and a call in the kernel', () => {
  const constants = Object.entries(sites).filter(([name]) => name.endsWith('_SITE'));
  const listed = sites.FAULT_SITES.map(({ site }) => site);
  expect(constants.map(([, site]) => site).sort()).toEqual([...listed].sort());
  expect(new Set(listed).size).toBe(listed.length);
  const all = code();
  for (const [name] of constants) expect(all, name).toMatch(new RegExp(`fails\\(${name}\\)`));
  for (const call of all.matchAll(/\.fails\(([^)]*)\)/g)) expect(constants.map(([name]) => name)).toContain(call[1]);
});
