export * from './clock.ts';
export * from './fault.ts';
export * from './fill.ts';
export * from './memory-map.ts';
export * from './page-size.ts';
export * from './physical-memory.ts';
export * from './random.ts';
export * from './units.ts';
