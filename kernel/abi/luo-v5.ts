import { defineContract, type FlbContract, type LuoContract, type SessionContract } from './contract.ts';

/** The Live Update Orchestrator of 7.2 and 7.3: one raw struct, everything else in blocks. */
export const LUO_V5: LuoContract = defineContract({
  name: 'luo-v5',
  area: 'luo',
  title: 'Live Update Orchestrator',
  compatible: 'luo-v5',
  versionedBy: 'luo',
  subtree: { name: 'LUO', payload: 'raw', struct: 'luo_ser' },
  constants: {
    LUO_ABI_COMPAT_LEN: {
      value: 'alignUp(COMPATIBLE_SIZE, 8)',
      decides: 'bytes',
      doc: 'Room for the version string; a longer string moves all that follows.',
    },
  },
  structs: [
    {
      name: 'luo_ser',
      packed: true,
      fields: [
        {
          name: 'compatible',
          type: 'char',
          count: 'LUO_ABI_COMPAT_LEN',
          doc: 'Version of this struct and of all that hangs from it.',
        },
        { name: 'liveupdate_num', type: 'u64', doc: 'Live updates since the last cold boot.' },
        { name: 'sessions_pa', type: 'u64', doc: 'Physical address of the first block of sessions, 0 for none.' },
        { name: 'flbs_pa', type: 'u64', doc: 'Physical address of the FLB header, 0 for none.' },
      ],
    },
  ],
});

/** Sessions and files in blocks, under the string of luo-v5. */
export const LUO_SESSION_V5: SessionContract = defineContract({
  name: 'luo-session-v5',
  area: 'session',
  title: 'LUO sessions and files',
  compatible: undefined,
  versionedBy: 'luo',
  container: 'blocks',
  constants: {
    LIVEUPDATE_SESSION_NAME_LENGTH: { value: 64, decides: 'bytes', doc: "Room for a session's name, NUL included." },
    LIVEUPDATE_HNDL_COMPAT_LENGTH: { value: 48, decides: 'bytes', doc: "Room for a file handler's string." },
  },
  structs: [
    {
      name: 'luo_file_set_ser',
      packed: true,
      fields: [
        { name: 'files', type: 'u64', doc: 'Physical address of the first block of files, 0 for none.' },
        { name: 'count', type: 'u64', doc: 'Files of the session.' },
      ],
    },
    {
      name: 'luo_session_ser',
      packed: true,
      fields: [
        { name: 'name', type: 'char', count: 'LIVEUPDATE_SESSION_NAME_LENGTH', doc: "The session's name." },
        { name: 'file_set_ser', type: 'struct', struct: 'luo_file_set_ser', doc: 'Its files.' },
      ],
    },
    {
      name: 'luo_file_ser',
      packed: true,
      fields: [
        {
          name: 'compatible',
          type: 'char',
          count: 'LIVEUPDATE_HNDL_COMPAT_LENGTH',
          doc: 'String of the handler, which versions what `data` leads to.',
        },
        { name: 'data', type: 'u64', doc: "The handler's own value, usually a physical address." },
        { name: 'token', type: 'u64', doc: 'The number under which user space finds the file again.' },
      ],
    },
  ],
});

/** File-lifecycle-bound data, under the string of luo-v5. */
export const LUO_FLB_V5: FlbContract = defineContract({
  name: 'luo-flb-v5',
  area: 'flb',
  title: 'LUO file-lifecycle-bound data',
  compatible: undefined,
  versionedBy: 'luo',
  constants: {
    LIVEUPDATE_FLB_COMPAT_LENGTH: { value: 48, decides: 'bytes', doc: "Room for an FLB's string." },
    LUO_FLB_PGCNT: { value: 1, decides: 'bytes', doc: 'Pages of header and array.' },
    LUO_FLB_MAX: {
      value: '((LUO_FLB_PGCNT << PAGE_SHIFT) - 16) / 64',
      decides: 'limit',
      doc: 'As many FLBs as fit behind the header.',
    },
  },
  structs: [
    {
      name: 'luo_flb_header_ser',
      packed: true,
      fields: [
        { name: 'pgcnt', type: 'u64', doc: 'Pages of header and array together.' },
        { name: 'count', type: 'u64', doc: 'Entries that follow.' },
      ],
    },
    {
      name: 'luo_flb_ser',
      packed: true,
      fields: [
        { name: 'name', type: 'char', count: 'LIVEUPDATE_FLB_COMPAT_LENGTH', doc: 'String of the FLB.' },
        { name: 'data', type: 'u64', doc: "The FLB's own value." },
        { name: 'count', type: 'u64', doc: 'Preserved files that depend on it.' },
      ],
    },
  ],
});
