import { el, fill, svg, table } from './dom.ts';
import { keyOf } from './key.ts';
import type { ChunkListView, FdtDocument, FdtNodeView, HandoverView, RadixView } from './model.ts';
import { pathOf } from './page-panel.ts';
import { addressText, bytesText, countText, plural } from './text.ts';

/** The tree that a kernel left, as strips per level. The nodes on the way to the chosen page are marked. */
export function treePanel(
  handover: HandoverView,
  pageShift: number,
  chosen: { pfn: number; order: number } | undefined,
): HTMLElement {
  const { map } = handover;
  if (map === null) return el('p', {}, 'No memory map could be read.');
  if (map.kind === 'chunk-list') return chunkTable(map);
  const key = chosen === undefined ? undefined : keyOf(map, pageShift, chosen.pfn, chosen.order);
  const path = key === undefined ? [] : pathOf(map, key);
  const total = map.levels.reduce((sum, level) => sum + level.nrNodes, 0);
  const rows: HTMLElement[] = [];
  for (let level = map.depth - 1; level >= 0; level--) rows.push(levelRow(map, level, pageShift, path[level] ?? -1));
  const orders = handover.byOrder.map(([order, count]) => `order ${order}: ${countText(count)}`).join(', ');
  return el(
    'div',
    { class: 'tree', id: 'tree-strips' },
    el(
      'p',
      {},
      `${plural(map.depth, 'level')}, ${plural(total, 'page')} (${bytesText(total * 2 ** pageShift)}), keys of ${map.keyWidth} bits: `,
      `${map.tableLog2} for each table, ${map.bitmapLog2} for the leaf. `,
      orders === '' ? 'Nothing is preserved.' : `Blocks: ${orders}.`,
    ),
    ...rows,
    el(
      'p',
      { class: 'note' },
      'Each box is a page of the tree in key order (highest orders first), filled by how much of it is in use.',
    ),
  );
}

const BOX_WIDTH = 14;

function levelRow(map: RadixView, level: number, pageShift: number, marked: number): HTMLElement {
  const { nodes, nrNodes } = map.levels[level] ?? { nodes: [], nrNodes: 0 };
  const capacity = level === 0 ? 2 ** map.bitmapLog2 : 2 ** map.tableLog2;
  const name = level === 0 ? 'leaves' : level === map.depth - 1 ? 'root' : 'tables';
  const width = Math.max(nodes.length * BOX_WIDTH, 1);
  const boxes = nodes.map((node, i) => {
    const share = Math.max(node.used / capacity, node.used > 0 ? 0.12 : 0);
    const unit = level === 0 ? 'bits' : 'slots';
    const text = `${addressText(node.pfn, pageShift)}: ${countText(node.used)} of ${countText(capacity)} ${unit}`;
    return svg(
      'g',
      { transform: `translate(${i * BOX_WIDTH},0)`, class: i === marked ? 'node marked' : 'node' },
      svg('title', {}, text),
      svg('rect', { x: 1, y: 1, width: BOX_WIDTH - 2, height: 22, class: 'box' }),
      svg('rect', { x: 1, y: 1 + 22 * (1 - share), width: BOX_WIDTH - 2, height: 22 * share, class: 'used' }),
    );
  });
  const drawing = svg(
    'svg',
    { width, height: 24, viewBox: `0 0 ${width} 24`, role: 'img', 'aria-label': `${nrNodes} nodes of level ${level}` },
    ...boxes,
  );
  const more = nrNodes > nodes.length ? ` (the first ${countText(nodes.length)} are drawn)` : '';
  return el(
    'div',
    { class: 'tree-level', 'data-level': level, 'data-nodes': nrNodes },
    el(
      'div',
      { class: 'level-name' },
      el('b', {}, `L${level}`),
      ` ${name}: ${countText(nrNodes)}, ${bytesText(nrNodes * 2 ** pageShift)}${more}`,
    ),
    el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `level ${level}` }, drawing),
  );
}

function chunkTable(map: ChunkListView): HTMLElement {
  const rows = map.chunks.flatMap((chunk) =>
    chunk.entries.map((entry) => [chunk.phys, String(chunk.order), entry.physStart, entry.bitmap] as const),
  );
  return el(
    'div',
    { id: 'tree-strips' },
    el('p', {}, `A list of ${plural(map.nrChunks, 'chunk')}, bitmaps of ${map.bitmapBytes} bytes.`),
    table(['chunk', 'order', 'bitmap is for', 'bitmap at'], rows.slice(0, 512), 'chunks and bitmaps'),
  );
}

/** FDTs as trees, and as dumps in which each row says what its bytes are. */
export function fdtPanel(handover: HandoverView): HTMLElement {
  if (handover.fdts.length === 0) return el('p', {}, 'No FDT could be read.');
  return el('div', {}, ...handover.fdts.map(fdtOf));
}

function fdtOf(fdt: FdtDocument): HTMLElement {
  const rows = fdt.rows.map((row) =>
    el(
      'tr',
      {},
      el('td', { class: 'mono' }, row.offset.toString(16).padStart(4, '0')),
      el('td', { class: 'mono hex' }, row.hex),
      el('td', { class: 'mono pre' }, row.text),
    ),
  );
  const head = el('tr', {}, ...['offset', 'bytes', 'what they are'].map((text) => el('th', { scope: 'col' }, text)));
  return el(
    'details',
    fdt.title === 'root FDT' ? { open: true, class: 'fdt' } : { class: 'fdt' },
    el('summary', {}, `${fdt.title} at ${fdt.phys}, ${fdt.sizeBytes} bytes`),
    fdt.root === null
      ? el('p', {}, 'It is broken; the dump says where.')
      : el('div', { class: 'fdt-tree mono' }, nodeOf(fdt.root, '/')),
    el(
      'details',
      { class: 'dump' },
      el('summary', {}, 'bytes, annotated'),
      el(
        'div',
        { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `bytes of ${fdt.title}` },
        el('table', {}, el('thead', {}, head), el('tbody', {}, ...rows)),
      ),
    ),
  );
}

function nodeOf(node: FdtNodeView, name: string): HTMLElement {
  const properties = node.properties.map((property) =>
    el(
      'li',
      {},
      el('span', { class: 'prop' }, property.name),
      property.hex === '' ? ';' : ' = ',
      el('span', { class: 'value', title: property.hex }, property.hex === '' ? '' : property.text),
    ),
  );
  const children = node.children.map((child) => el('li', {}, nodeOf(child, child.name)));
  return el('div', {}, el('span', { class: 'node-name' }, `${name} {`), el('ul', {}, ...properties, ...children), '}');
}

/** What the handover says of itself, clients, and what an audit of it found. */
export function factsPanel(handover: HandoverView, onAddress: (address: string) => void): HTMLElement {
  const candidates = handover.candidates.length === 0 ? 'no release' : handover.candidates.join(', ');
  const facts = [['compatible', handover.compatible], ['ABI of', candidates], ...handover.facts] as const;
  const list = el('dl', { class: 'facts' });
  for (const [name, value] of facts) list.append(el('dt', {}, name), el('dd', { class: 'mono' }, value));
  const clients = handover.clients.flatMap((client) => [
    el('h3', {}, client.title),
    el('pre', { class: 'lines' }, client.lines.join('\n')),
  ]);
  const findings = handover.findings.map((finding) => {
    const address = /^0x[0-9a-f]+$/.test(finding.where);
    const where = address
      ? el('button', { type: 'button', class: 'link mono', onclick: () => onAddress(finding.where) }, finding.where)
      : finding.where;
    return [el('b', { class: finding.severity }, finding.severity), finding.code, where, finding.message];
  });
  const audit =
    findings.length === 0
      ? el('p', {}, '✓ The audit of all that was left found nothing wrong.')
      : table(['severity', 'finding', 'where', 'what'], findings, 'findings');
  const out = el('div', {});
  fill(out, list, ...clients, el('h3', {}, 'Audit'), audit);
  return out;
}
