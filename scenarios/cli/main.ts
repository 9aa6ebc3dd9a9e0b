#!/usr/bin/env node
import { writeSync } from 'node:fs';
import type { Terminal } from './command.ts';
import { runCommandLine } from './program.ts';

/*
 * Writes are synchronous, so that nothing is lost when the process ends and a pipe's reader sets the pace. A reader
 * that went away (`khosim run | head`) ends the process quietly, as it would end any other tool.
 */
function writeTo(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  let done = 0;
  while (done < bytes.length) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EAGAIN') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      else if (code === 'EPIPE') process.exit(0);
      else throw error;
    }
  }
}

const terminal: Terminal = {
  stdout: (text) => writeTo(1, text),
  stderr: (text) => writeTo(2, text),
  // A dumb terminal does not know the codes that take a bar away again.
  interactive: process.stderr.isTTY === true && process.env['TERM'] !== 'dumb',
  env: process.env,
};

process.exitCode = await runCommandLine(process.argv.slice(2), terminal);
