import { formatBytes } from '../picture/bytes.ts';
import { wrap } from '../picture/wrap.ts';
import type { BootCapturedDocument } from './boot-captured.ts';
import type { BootedFile } from './boot-image.ts';

const OUTCOMES: Readonly<Record<BootCapturedDocument['outcome'], string>> = {
  handover: 'the handover was accepted',
  'cold-boot': 'no handover: the kernel booted cold',
  panic: 'the kernel panicked',
  oops: 'the kernel fell over',
};

const WIDTH = 80;

/** What a boot on captured memory came to, for people: verdict, clients, files, findings, and the log. */
export function formatBoot(document: BootCapturedDocument): string {
  const lines = [`${document.release}: ${OUTCOMES[document.outcome]}`];
  if (document.reason !== null) lines.push(...indented(document.reason));
  for (const note of document.notes) lines.push(...indented(`note: ${note}`));
  const metadata = document.kexecMetadata;
  const facts: [string, string][] = [
    ['kexec-metadata', metadata === null ? '-' : `from ${metadata.previousRelease}, count ${metadata.kexecCount}`],
    ['live update', document.liveupdateNumber === null ? '-' : `number ${document.liveupdateNumber}`],
    ['test_kho', document.khoTest],
    ['reserve_mem', document.revivedReserveMem.join(', ') || '-'],
    ['reserved', `${document.memblock.reserved.length} regions in memblock`],
  ];
  lines.push('');
  for (const [name, value] of facts) lines.push(...indented(`${name.padEnd(15)} ${value}`, 18));
  const files = Object.entries(document.files);
  if (files.length > 0) lines.push('', '  files');
  for (const [name, file] of files) lines.push(...fileLines(name, file));
  if (document.findings.length > 0) lines.push('', '  findings');
  for (const { severity, code, message, where } of document.findings) {
    lines.push(...indented(`  ${severity} ${code} ${where}: ${message}`, 6));
  }
  lines.push('', '  log');
  for (const line of document.log) lines.push(...indented(`  ${line}`, 6));
  return `${lines.join('\n')}\n`;
}

function fileLines(name: string, file: BootedFile): string[] {
  if ('error' in file) return indented(`  ${name.padEnd(26)} -${file.error}`, 6);
  const size = formatBytes(file.size);
  const what = `${size.padStart(9)}, pos ${file.pos}, seals ${file.seals}, ${file.sha256.slice(0, 8)}...`;
  return indented(`  ${name.padEnd(26)} ${what}`, 6);
}

/**
 * A text two columns in, broken at spaces to fit 80 columns, with what does not fit `hanging` columns in. Names and lines hold
 * what foreign memory holds: what a terminal would take for a command is written out.
 */
function indented(text: string, hanging = 4): string[] {
  const visible = text.replaceAll(/\p{Cc}/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
  const whole = `  ${visible}`;
  if (whole.length <= WIDTH) return [whole];
  const at = whole.lastIndexOf(' ', WIDTH);
  const cut = at > hanging ? at : WIDTH;
  const rest = wrap(whole.slice(cut).trimStart(), WIDTH - hanging);
  return [whole.slice(0, cut).trimEnd(), ...rest.map((line) => `${' '.repeat(hanging)}${line}`)];
}
