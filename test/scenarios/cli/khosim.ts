import { runCommandLine } from '../../../scenarios/cli/program.ts';

/** Runs khosim's command line in process, and keeps what it prints. */
export async function khosim(...argv: string[]) {
  let out = '';
  let err = '';
  const terminal = {
    stdout: (text: string) => (out += text),
    stderr: (text: string) => (err += text),
    interactive: false,
    env: {},
  };
  const code = await runCommandLine(argv, terminal);
  return { code, out, err };
}
