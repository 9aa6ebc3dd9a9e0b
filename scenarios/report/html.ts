import { clientScript } from './bundle.ts';
import type { ReportData } from './client/model.ts';
import { STYLES } from './styles.ts';

/** Text as HTML. */
export function escapeHtml(text: string): string {
  const names: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return text.replace(/[&<>"']/g, (character) => names[character] ?? character);
}

/** What a page consists of. */
export interface PageParts {
  /** `run`, `inspect`, `compare`, `matrix`. */
  readonly kind: string;
  readonly title: string;
  readonly version: string;
  /** Links to the page's sections: [id, text]. */
  readonly sections: readonly (readonly [string, string])[];
  /** HTML that is there without the script. */
  readonly body: string;
  /** For the script. */
  readonly data?: ReportData;
}

/**
 * A whole page in one file. It loads nothing: its policy forbids every request. No date, host or path is in it, so equal
 * results give equal bytes.
 */
export function htmlPage(parts: PageParts): string {
  const { kind, title, version, sections, body, data } = parts;
  const links = sections.map(([id, text]) => `<a href="#${id}">${escapeHtml(text)}</a>`).join('\n');
  const json =
    data === undefined ? '' : JSON.stringify(data).replaceAll('<', '\\u003c').replaceAll('\u2028', '\\u2028');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<meta name="generator" content="khosim ${escapeHtml(version)}">
<title>${escapeHtml(title)} · khosim ${escapeHtml(kind)}</title>
<link rel="icon" href="data:,">
<style>
${STYLES}</style>
</head>
<body class="${escapeHtml(kind)}">
<a class="skip" href="#main">to the content</a>
<header>
<div class="brand"><b>khosim</b> ${escapeHtml(kind)}</div>
<h1>${escapeHtml(title)}</h1>
<div id="views"></div>
<button type="button" id="theme" aria-label="light or dark">☾ dark</button>
</header>
<nav aria-label="sections">
${links}
</nav>
<main id="main">
${body}
</main>
<footer>khosim ${escapeHtml(version)}. One file, no network; all figures are from the run itself.</footer>
${data === undefined ? '' : `<script type="application/json" id="data">${json}</script>\n`}<script>
${clientScript().replaceAll('</script', '<\\/script')}</script>
</body>
</html>
`;
}

const RUN_SECTIONS = [
  ['verdict', 'Verdict'],
  ['time-travel', 'Time travel'],
  ['memory', 'Memory'],
  ['changed', 'Changes'],
  ['page', 'Page'],
  ['tree', 'Memory map'],
  ['handover', 'Handover'],
  ['fdt', 'Devicetrees'],
  ['events', 'Logs'],
  ['memblock', 'memblock'],
  ['again', 'Reproduce'],
] as const;

/** The report of runs, or of an inspected image. */
export function viewReport(data: ReportData): string {
  const first = data.views[0];
  const title =
    data.views.length === 1 || first === undefined ? (first?.title ?? 'nothing') : `${data.views.length} runs`;
  const image = data.kind === 'inspect';
  const absent = image ? ['time-travel', 'changed', 'handover', 'events', 'memblock'] : [];
  return htmlPage({
    kind: data.kind,
    title,
    version: data.version,
    sections: RUN_SECTIONS.filter(([id]) => !absent.includes(id)),
    body: '<div id="report"><noscript>The report draws its pictures with the script in this file; it loads nothing.</noscript></div>',
    data,
  });
}
