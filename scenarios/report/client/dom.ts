/** What an element may be given: attributes, and `on...` listeners. */
export type Attributes = Readonly<Record<string, string | number | boolean | ((event: Event) => void) | undefined>>;

/** Makes an element. Text is only ever put in as text, never as HTML. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/** Makes an SVG element. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, tag);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

function setAttributes(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
}

/** Puts new content into an element. */
export function fill(element: Element, ...children: (Node | string)[]): void {
  element.replaceChildren(...children);
}

/** A section with a heading that can be linked to. */
export function section(id: string, title: string, ...children: (Node | string)[]): HTMLElement {
  return el('section', { id, 'aria-labelledby': `${id}-title` }, el('h2', { id: `${id}-title` }, title), ...children);
}

/** A table of texts; the first row is its head. */
export function table(head: readonly string[], rows: readonly (readonly (Node | string)[])[], name = ''): HTMLElement {
  const cells = (row: readonly (Node | string)[], tag: 'th' | 'td'): HTMLElement =>
    el('tr', {}, ...row.map((cell) => el(tag, tag === 'th' ? { scope: 'col' } : {}, cell)));
  const body = el('tbody', {}, ...rows.map((row) => cells(row, 'td')));
  const parts = head.length === 0 ? [body] : [el('thead', {}, cells(head, 'th')), body];
  return el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': name }, el('table', {}, ...parts));
}
