export * from '../machine/index.ts';
export * from './command-line.ts';
export * from './config.ts';
export * from './control.ts';
export * from './errno.ts';
export * from './failure.ts';
export * from './fault-injection.ts';
export * from './log.ts';
