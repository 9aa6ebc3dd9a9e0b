import { describe, expect, test } from 'vitest';
import { CommandLine, memparse, parseBool } from '../../kernel/command-line.ts';

describe('the command line', () => {
  const line = new CommandLine('kho=on  reserve_mem=2M:64K:a quiet kho=off reserve_mem=1M:4K:b dyndbg="file a.c +p"');

  test('lists every value of a parameter, and lets the last one win', () => {
    expect(line.all('reserve_mem')).toEqual(['2M:64K:a', '1M:4K:b']);
    expect(line.get('kho')).toBe('off');
    expect(line.all('quiet')).toEqual([undefined]);
    expect(line.get('absent')).toBeUndefined();
    expect(line.get('dyndbg')).toBe('file a.c +p');
  });

  test('reads booleans as kstrtobool does, and keeps the default for what it cannot read', () => {
    expect(['on', 'y', '1', 'T', 'off', 'n', '0', 'maybe', ''].map(parseBool)).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
      false,
      undefined,
      undefined,
    ]);
    expect(line.flag('kho', true)).toBe(false);
    expect(new CommandLine('kho=what').flag('kho', true)).toBe(true);
  });

  test('reads sizes as memparse does', () => {
    expect(memparse('16M,32M')).toEqual({ value: 16 * 2 ** 20, rest: ',32M' });
    expect(memparse('0x10k:')).toEqual({ value: 16384, rest: ':' });
    expect(memparse('010')).toEqual({ value: 8, rest: '' });
    expect(memparse('200%')).toEqual({ value: 200, rest: '%' });
    expect(memparse('M')).toBeUndefined();
  });
});
