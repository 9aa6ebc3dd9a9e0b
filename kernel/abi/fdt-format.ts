/** What every FDT of a handover has in common: the format's version and one page of room. */
export const FDT_V17 = { version: 17, lastCompatibleVersion: 16, bufferBytes: 'PAGE_SIZE' } as const;
