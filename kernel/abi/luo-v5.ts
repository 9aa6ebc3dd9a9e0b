import { defineContract, type FlbContract, type LuoContract, type SessionContract } from './contract.ts';
import { LUO_FLB_V1, LUO_SESSION_V2, SESSION_STRING_LENGTHS } from './luo-v1.ts';

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

/** Sessions and files in chains of blocks, under the string of luo-v5. */
export const LUO_SESSION_V5: SessionContract = defineContract({
  name: 'luo-session-v5',
  area: 'session',
  title: 'LUO sessions and files',
  compatible: undefined,
  versionedBy: 'luo',
  container: 'blocks',
  constants: SESSION_STRING_LENGTHS,
  structs: LUO_SESSION_V2.structs.filter((spec) => spec.name !== 'luo_session_header_ser'),
});

/** File-lifecycle-bound data, under the string of luo-v5. */
export const LUO_FLB_V5: FlbContract = defineContract({
  name: 'luo-flb-v5',
  area: 'flb',
  title: 'LUO file-lifecycle-bound data',
  compatible: undefined,
  versionedBy: 'luo',
  constants: LUO_FLB_V1.constants,
  structs: LUO_FLB_V1.structs,
});
