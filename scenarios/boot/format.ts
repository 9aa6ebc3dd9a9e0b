import type { BootCapturedDocument } from './boot-captured.ts';

const OUTCOMES: Readonly<Record<BootCapturedDocument['outcome'], string>> = {
  handover: 'the handover was accepted',
  'cold-boot': 'no handover: the kernel booted cold',
  panic: 'the kernel panicked',
  oops: 'the kernel fell over',
};

/** What a boot on captured memory came to, for people: verdict, clients, files, findings, and the log. */
export function formatBoot(document: BootCapturedDocument): string {
  const lines = [`${document.release}: ${OUTCOMES[document.outcome]}`];
  if (document.reason !== null) lines.push(`  ${document.reason}`);
  for (const note of document.notes) lines.push(`  note: ${note}`);
  const metadata = document.kexecMetadata;
  const facts: [string, string][] = [
    ['kexec-metadata', metadata === null ? '-' : `from ${metadata.previousRelease}, count ${metadata.kexecCount}`],
    ['live update', document.liveupdateNumber === null ? '-' : `number ${document.liveupdateNumber}`],
    ['test_kho', document.khoTest],
    ['reserve_mem', document.revivedReserveMem.join(', ') || '-'],
    ['reserved', `${document.memblock.reserved.length} regions in memblock`],
  ];
  lines.push('');
  for (const [name, value] of facts) lines.push(`  ${name.padEnd(15)} ${value}`);
  const files = Object.entries(document.files);
  if (files.length > 0) lines.push('', '  files');
  for (const [name, file] of files) {
    const what =
      'error' in file
        ? `-${file.error}`
        : `${file.size} bytes, pos ${file.pos}, seals ${file.seals}, sha256 ${file.sha256.slice(0, 12)}`;
    lines.push(`    ${name.padEnd(34)} ${what}`);
  }
  if (document.findings.length > 0) lines.push('', '  findings');
  for (const { severity, code, message, where } of document.findings) {
    lines.push(`    ${severity} ${code} ${where}: ${message}`);
  }
  lines.push('', '  log');
  for (const line of document.log) lines.push(`    ${line}`);
  return `${lines.join('\n')}\n`;
}
