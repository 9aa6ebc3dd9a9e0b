import { PAGE_4K } from '../../machine/index.ts';
import { changeJson, check, checkJson } from '../abi/check.ts';
import { compare } from '../abi/compare.ts';
import { abiList, presentCheck, presentDiff, presentList } from '../abi/present.ts';
import { presentKernelDoc, presentTable } from '../abi/present-show.ts';
import { findSubject } from '../abi/proposal.ts';
import { show } from '../abi/show.ts';
import { checkJunit, checkKtap } from '../abi/test-formats.ts';
import type { CommandRun } from './command.ts';
import { EXIT_FAILED, EXIT_OK } from './options.ts';

/** `khosim abi list` */
export const abiListCommand: CommandRun = (_args, _options, context) => {
  if (context.json) context.printJson(abiList());
  else context.terminal.stdout(presentList());
  return EXIT_OK;
};

/** `khosim abi show NAME` */
export const abiShowCommand: CommandRun = async ([name = ''], options, context) => {
  const subject = await findSubject(name);
  const page = options.pageSize() ?? PAGE_4K;
  if (context.json) context.printJson(show(subject, page));
  else if (options.text('format') === 'kernel-doc') context.terminal.stdout(presentKernelDoc(subject, page));
  else context.terminal.stdout(presentTable(subject, page));
  return EXIT_OK;
};

/** `khosim abi diff A B` */
export const abiDiffCommand: CommandRun = async ([a = '', b = ''], _options, context) => {
  const [before, after] = [await findSubject(a), await findSubject(b)];
  const changes = compare(before, after);
  if (context.json) context.printJson({ before: before.name, after: after.name, changes: changes.map(changeJson) });
  else context.terminal.stdout(presentDiff(before.name, after.name, changes, [...before.notes, ...after.notes]));
  return EXIT_OK;
};

/** `khosim abi check A B` */
export const abiCheckCommand: CommandRun = async ([a = '', b = ''], options, context) => {
  const [before, after] = [await findSubject(a), await findSubject(b)];
  const { simulatorProver } = await import('../abi/simulator-prover.ts');
  const result = await check(before, after, { golden: options.text('golden'), prover: simulatorProver() });
  const format = options.text('format');
  if (context.json) context.printJson(checkJson(result));
  else if (format === 'ktap') context.terminal.stdout(checkKtap(result));
  else if (format === 'junit') context.terminal.stdout(checkJunit(result));
  else if (!context.quiet) context.terminal.stdout(presentCheck(result));
  return result.ok ? EXIT_OK : EXIT_FAILED;
};
