import { defineContract, type FlbContract, type LuoContract, type NodeSpec, type SessionContract } from './contract.ts';
import { FDT_V17 } from './fdt-format.ts';

const NODES: readonly NodeSpec[] = [
  {
    role: 'root',
    name: '',
    required: true,
    properties: [
      { key: 'compatible', name: 'compatible', type: 'string', required: true, doc: 'Version of this tree.' },
      {
        key: 'liveupdateNumber',
        name: 'liveupdate-number',
        type: 'u64',
        required: true,
        doc: 'Live updates since the last cold boot.',
      },
    ],
  },
  {
    role: 'session',
    name: 'luo-session',
    parent: 'root',
    required: true,
    doc: 'The sessions; what is in it is a contract of its own.',
    properties: [],
  },
];

/** The Live Update Orchestrator of 6.19: an FDT, with sessions only. */
export const LUO_V1A: LuoContract = defineContract({
  name: 'luo-v1a',
  area: 'luo',
  title: 'Live Update Orchestrator',
  compatible: 'luo-v1',
  versionedBy: 'luo',
  subtree: { name: 'LUO', payload: 'fdt' },
  constants: {},
  structs: [],
  fdt: { ...FDT_V17, writing: 'sequential', nodes: NODES },
});

/** That of 7.0 and 7.1: a second node, which the reader insists on. The string stayed. */
export const LUO_V1B: LuoContract = defineContract({
  ...LUO_V1A,
  name: 'luo-v1b',
  fdt: {
    ...FDT_V17,
    writing: 'sequential',
    nodes: [
      ...NODES,
      {
        role: 'flb',
        name: 'luo-flb',
        parent: 'root',
        required: true,
        doc: 'The FLBs; what is in it is a contract of its own.',
        properties: [],
      },
    ],
  },
});

/** Room for the strings of sessions and files, in every version. */
export const SESSION_STRING_LENGTHS = {
  LIVEUPDATE_SESSION_NAME_LENGTH: { value: 64, decides: 'bytes', doc: "Room for a session's name, NUL included." },
  LIVEUPDATE_HNDL_COMPAT_LENGTH: { value: 48, decides: 'bytes', doc: "Room for a file handler's string." },
} as const;

/** Sessions and files of 6.19 to 7.1: arrays in a fixed number of contiguous pages, under a string of their own. */
export const LUO_SESSION_V2: SessionContract = defineContract({
  name: 'luo-session-v2',
  area: 'session',
  title: 'LUO sessions and files',
  compatible: 'luo-session-v2',
  versionedBy: 'session',
  container: 'array',
  fdt: {
    ...FDT_V17,
    writing: 'sequential',
    nodes: [
      {
        role: 'session',
        name: 'luo-session',
        required: true,
        doc: "A child of LUO's root.",
        properties: [
          {
            key: 'compatible',
            name: 'compatible',
            type: 'string',
            required: true,
            doc: 'Version of sessions and files.',
          },
          {
            key: 'header',
            name: 'luo-session-header',
            type: 'u64',
            required: true,
            doc: 'Physical address of luo_session_header_ser.',
          },
        ],
      },
    ],
  },
  constants: {
    ...SESSION_STRING_LENGTHS,
    LUO_SESSION_PGCNT: { value: 16, decides: 'limit', doc: 'Pages of header and sessions.' },
    LUO_SESSION_MAX: {
      value: '((LUO_SESSION_PGCNT << PAGE_SHIFT) - sizeof(luo_session_header_ser)) / sizeof(luo_session_ser)',
      decides: 'limit',
      doc: 'Sessions that fit.',
    },
    LUO_FILE_PGCNT: { value: 2, decides: 'limit', doc: "Pages of a session's files." },
    LUO_FILE_MAX: {
      value: '(LUO_FILE_PGCNT << PAGE_SHIFT) / sizeof(luo_file_ser)',
      decides: 'limit',
      doc: 'Files that fit.',
    },
  },
  structs: [
    {
      name: 'luo_session_header_ser',
      packed: true,
      doc: 'The sessions follow it without a gap.',
      fields: [{ name: 'count', type: 'u64', doc: 'Sessions that follow.' }],
    },
    {
      name: 'luo_file_set_ser',
      packed: true,
      fields: [
        {
          name: 'files',
          type: 'u64',
          doc: 'Physical address of the files (an array, or the first block of a chain), 0 for none.',
        },
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

/** File-lifecycle-bound data of 7.0 and 7.1: one page, under a string of its own. */
export const LUO_FLB_V1: FlbContract = defineContract({
  name: 'luo-flb-v1',
  area: 'flb',
  title: 'LUO file-lifecycle-bound data',
  compatible: 'luo-flb-v1',
  versionedBy: 'flb',
  fdt: {
    ...FDT_V17,
    writing: 'sequential',
    nodes: [
      {
        role: 'flb',
        name: 'luo-flb',
        required: true,
        doc: "A child of LUO's root.",
        properties: [
          { key: 'compatible', name: 'compatible', type: 'string', required: true, doc: 'Version of the FLBs.' },
          {
            key: 'header',
            name: 'luo-flb-header',
            type: 'u64',
            required: true,
            doc: 'Physical address of luo_flb_header_ser.',
          },
        ],
      },
    ],
  },
  constants: {
    LIVEUPDATE_FLB_COMPAT_LENGTH: { value: 48, decides: 'bytes', doc: "Room for an FLB's string." },
    LUO_FLB_PGCNT: { value: 1, decides: 'bytes', doc: 'Pages of header and array.' },
    LUO_FLB_MAX: {
      value: '((LUO_FLB_PGCNT << PAGE_SHIFT) - sizeof(luo_flb_header_ser)) / sizeof(luo_flb_ser)',
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
