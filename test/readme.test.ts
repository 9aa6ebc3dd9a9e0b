import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { COMMANDS } from '../scenarios/cli/commands.ts';
import { parseScenario } from '../scenarios/run/load.ts';
import { runScenario } from '../scenarios/run/runner.ts';
import { VERBS } from '../scenarios/run/schema.ts';

const root = new URL('../', import.meta.url);
const readme = readFileSync(new URL('README.md', root), 'utf8');

/** The first fenced block of a language. */
function block(language: string): string {
  return new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'ms').exec(readme)?.[1] ?? '';
}

test('the scenario of the README runs as it stands, at both of its page sizes', () => {
  const scenario = parseScenario(block('yaml'), 'README.md');
  expect(scenario.pageSizes.map((page) => page.name)).toEqual(['4K', '64K']);
  for (const page of scenario.pageSizes) expect(runScenario(scenario, { page })).toMatchObject({ ok: true });
});

test('the library example of the README is the one that is run', () => {
  expect(block('ts')).toBe(readFileSync(new URL('test/library-example.ts', root), 'utf8'));
});

test('the README names every command, every verb of a scenario, and no file that is not there', () => {
  for (const { name } of COMMANDS) expect(readme).toContain(`khosim ${name}`);
  for (const verb of VERBS) expect(readme).toMatch(new RegExp(`(\`|- )${verb}\\b`));
  const images = [...readme.matchAll(/docs\/images\/([\w-]+\.png)/g)].map((match) => match[1]);
  expect(readdirSync(new URL('docs/images/', root))).toEqual(expect.arrayContaining(images));
});

test('CONTRIBUTING and the architecture name only files that are there', () => {
  const missing: string[] = [];
  for (const document of ['CONTRIBUTING.md', 'docs/architecture.md', 'README.md']) {
    const text = readFileSync(new URL(document, root), 'utf8');
    for (const [, path = ''] of text.matchAll(/`((?:machine|kernel|scenarios|test|docs)\/[\w./-]+)`/g)) {
      if (!existsSync(new URL(path, root))) missing.push(`${document}: ${path}`);
    }
  }
  expect(missing).toEqual([]);
});
