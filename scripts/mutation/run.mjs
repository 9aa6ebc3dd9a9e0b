import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { MODULES } from './modules.mjs';
import { report } from './report.mjs';

/** `npm run mutation -- MODULE...`: mutates one module after the other (all by default) and prints what survived. */
const names = process.argv.slice(2);
const unknown = names.find((name) => MODULES[name] === undefined);
if (unknown !== undefined) {
  process.stderr.write(`no module '${unknown}': one of ${Object.keys(MODULES).join(', ')}\n`);
  process.exit(2);
}
const pathOf = (name) => fileURLToPath(new URL(name, import.meta.url));
const stryker = pathOf('./node_modules/@stryker-mutator/core/bin/stryker.js');
if (!existsSync(stryker)) {
  process.stderr.write(
    'Stryker is not installed, it is apart from the other packages: npm ci --prefix scripts/mutation\n',
  );
  process.exit(2);
}
setPriority(10);
for (const name of names.length > 0 ? names : Object.keys(MODULES)) {
  const env = { ...process.env, KHOSIM_MUTATION: name };
  const { status } = spawnSync(process.execPath, [stryker, 'run', pathOf('./stryker.config.mjs')], {
    stdio: 'inherit',
    env,
  });
  if (status !== 0) process.exit(status ?? 3);
  process.stdout.write(report(name));
}
