import { writeFileSync } from 'node:fs';
import { workerData } from 'node:worker_threads';

/*
 * A thread that ends the process when a mutant has used more CPU than it may: endless loops. By CPU, as a busy machine
 * must not make slow mutants look endless. The mutant's id stays in a file for the process that comes next.
 */

const [MUTANT, LIMIT_MS] = [0, 1];
const shared = new Int32Array(workerData.shared);

setInterval(() => {
  const mutant = shared[MUTANT];
  if (mutant < 0) return;
  const { user, system } = process.cpuUsage();
  if ((user + system) / 1000 < shared[LIMIT_MS] || shared[MUTANT] !== mutant) return;
  writeFileSync(workerData.file, String(mutant));
  process.kill(process.pid, 'SIGKILL');
}, 500);
