import { formatBytes } from '../picture/bytes.ts';
import type { ScenarioStep } from '../run/load.ts';

const MAX_LENGTH = 110;

/** A step as its line in a scenario file would read: `preserve folios: { order: 3, count: 100, as: buffers }`. */
export function stepText(step: ScenarioStep): string {
  const value = flow((step.spec as Readonly<Record<string, unknown>>)[step.verb]);
  const text = value === '' || value === '{}' ? step.verb : `${step.verb}: ${value}`;
  return text.length <= MAX_LENGTH ? text : `${text.slice(0, MAX_LENGTH - 3)}...`;
}

function flow(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (typeof value === 'object') {
    const parts = Object.entries(value)
      .filter(([, each]) => each !== undefined)
      .map(([key, each]) => `${key}: ${flow(each)}`);
    return parts.length === 0 ? '{}' : `{ ${parts.join(', ')} }`;
  }
  if (typeof value === 'number' && value >= 4096 && value % 1024 === 0)
    return formatBytes(value).replace(/ ([KMGT])iB$/, '$1');
  return String(value);
}
