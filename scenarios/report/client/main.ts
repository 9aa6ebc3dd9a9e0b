import { el, fill } from './dom.ts';
import type { ReportData } from './model.ts';
import { isDark } from './palette.ts';
import { bytesText } from './text.ts';
import { ViewPage } from './view-page.ts';

/** Starts the page: the theme switch, and whatever kind of report this is. */
function start(): void {
  let redraw = (): void => {};
  const toggle = document.getElementById('theme');
  const name = (): void => {
    if (toggle !== null) toggle.textContent = isDark() ? '☀ light' : '☾ dark';
  };
  toggle?.addEventListener('click', () => {
    document.documentElement.dataset['theme'] = isDark() ? 'light' : 'dark';
    name();
    redraw();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    name();
    redraw();
  });
  name();
  startCells();
  const source = document.getElementById('data');
  const place = document.getElementById('report');
  if (source === null || place === null) return;
  const data = JSON.parse(source.textContent ?? '') as ReportData;
  redraw = startViews(data, place);
}

function startViews(data: ReportData, place: HTMLElement): () => void {
  let page: ViewPage | undefined;
  const show = (index: number): void => {
    const view = data.views[index];
    if (view === undefined) return;
    page = new ViewPage(view);
    fill(place, page.element);
    page.draw();
  };
  const picker = document.getElementById('views');
  if (picker !== null && data.views.length > 1) {
    const choice = el('select', { id: 'view', onchange: () => show(Number(choice.value)) });
    for (const [i, view] of data.views.entries()) {
      const mark = view.kind === 'run' ? `${view.ok ? '✓' : '✗'} ` : '';
      choice.append(el('option', { value: i }, `${mark}${view.title}, ${bytesText(2 ** view.memory.pageShift)} pages`));
    }
    picker.append(el('label', {}, 'run: ', choice));
  }
  show(0);
  let waiting = 0;
  new ResizeObserver(() => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => page?.draw());
  }).observe(place);
  return () => page?.draw();
}

/** A matrix: a cell that is chosen shows its details below the table. */
function startCells(): void {
  const details = document.getElementById('cell-details');
  if (details === null) return;
  for (const button of document.querySelectorAll<HTMLButtonElement>('button.cell')) {
    button.addEventListener('click', () => {
      for (const other of document.querySelectorAll('button.cell[aria-pressed=true]')) {
        other.setAttribute('aria-pressed', 'false');
      }
      button.setAttribute('aria-pressed', 'true');
      const template = document.getElementById(`details-${button.dataset['cell'] ?? ''}`);
      if (template instanceof HTMLTemplateElement) fill(details, template.content.cloneNode(true));
    });
    button.addEventListener('keydown', (event) => moveFocus(button, event));
  }
}

/** Arrow keys go from cell to cell. */
function moveFocus(button: HTMLButtonElement, event: KeyboardEvent): void {
  const cell = button.closest('td');
  const row = cell?.parentElement;
  if (cell == null || row == null) return;
  const column = [...row.children].indexOf(cell);
  const next: Element | null | undefined =
    event.key === 'ArrowRight'
      ? cell.nextElementSibling
      : event.key === 'ArrowLeft'
        ? cell.previousElementSibling
        : event.key === 'ArrowDown'
          ? row.nextElementSibling?.children[column]
          : event.key === 'ArrowUp'
            ? row.previousElementSibling?.children[column]
            : undefined;
  const target = next?.querySelector('button');
  if (target == null) return;
  event.preventDefault();
  target.focus();
}

start();
