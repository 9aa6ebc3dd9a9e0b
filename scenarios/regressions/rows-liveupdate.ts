import { type NotShown, type Regression, SMALL } from './regression.ts';

const X86 = SMALL.replace('memory: 1G', 'arch: x86_64, memory: 1G');
const TESTING = SMALL.replace(/ }$/, ', config: { LIVEUPDATE_TEST: true } }');

/** Rows 32 to 50: LUO and memfd. */
export const LIVEUPDATE_REGRESSIONS: readonly Regression[] = [
  {
    row: 32,
    what: 'that a file could not be retrieved is forgotten: its memory is taken back twice',
    bad: { release: '7.3', quirks: ['luo-retrieves-again'] },
    good: { release: '7.3' },
    pageSize: '4K',
    shows: 'retrieving fails once, for want of memory; the second attempt and finish read what the first has freed',
    fails: 'retrieve file: EOPNOTSUPP, expected ENOMEM',
    scenario: `${SMALL}
steps:
  - session: { name: vm, files: [{ token: 1, memfd: 64K }] }
  - kexec
  - fault: { at: memfd.charge-folio }
  - retrieve: vm
    expect: ENOMEM
  - retrieve file: { session: vm, token: 1 }
    expect: ENOMEM
  - finish: vm
expect: { damagedObjects: [vm], warnings: 0 }`,
  },
  {
    row: 33,
    what: 'unfreezing a file loses the handle of what was preserved of it',
    bad: { release: '7.3', quirks: ['luo-unfreeze-drops-handle'] },
    good: { release: '7.3' },
    pageSize: '4K',
    shows:
      'the second of two files cannot be frozen, and the reboot is off; the next attempt has no handle for the first',
    fails: 'retrieve: ENOENT, expected ok',
    scenario: `${SMALL}
steps:
  - session: { name: vm, files: [{ token: 1, memfd: 64K }, { token: 2, memfd: 64K }] }
  - fault: { at: luo.freeze-file, nth: 2 }
  - kexec: {}
    expect: EIO
  - kexec
  - retrieve: vm
  - finish: vm
expect: { intact: [vm], warnings: 0 }`,
  },
  {
    row: 34,
    what: 'one file can be preserved in two sessions',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'another descriptor of a file goes into a second session; the next kernel has its pages once',
    fails: 'preserve file: ok, expected EBUSY',
    scenario: `${SMALL}
steps:
  - session: { name: a, files: [{ token: 1, memfd: 64K }] }
  - session: { name: b }
  - preserve file: { session: b, token: 2, of: { session: a, token: 1 } }
    expect: EBUSY
  - kexec
  - retrieve: a
  - retrieve: b
expect: { intact: [a], warnings: 0 }`,
  },
  {
    row: 35,
    what: 'that there was no memory for a session is forgotten at the next open',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'no memory for the second of two sessions that are read; the next open of the device succeeds without it',
    fails: 'retrieve: ENOENT, expected EIO',
    scenario: `${SMALL}
steps:
  - session: { name: a, files: [{ token: 1, memfd: 64K }] }
  - session: { name: b, files: [{ token: 1, memfd: 64K }] }
  - kexec
  - fault: { at: luo.alloc-session, nth: 2 }
  - retrieve: b
    expect: EIO
  - retrieve: b
    expect: EIO`,
  },
  {
    row: 36,
    what: 'errors in the files of a session are ignored',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'a file of a kind that the next kernel does not know; the session is there, without it',
    fails: 'session vm: file 0x1 cannot be retrieved',
    scenario: `${SMALL}
steps:
  - session: { name: vm, files: [{ token: 1, memfd: 64K }] }
  - corrupt: { what: session-files, name: vm, replace: memfd-v, with: memfd-w }
  - kexec
  - retrieve: vm
    expect: EIO`,
  },
  {
    row: 39,
    what: 'sessions change between being written and the jump',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows:
      'the program that has the session exits then; the session crosses, and what was preserved for it is free memory',
    fails: 'intact: vm: damaged, file 0x1 cannot be retrieved',
    scenario: `${SMALL}
steps:
  - session: { name: vm, files: [{ token: 1, memfd: 64K }] }
  - kexec: { meanwhile: { exit: vm } }
  - retrieve: vm
  - finish: vm
expect: { intact: [vm], warnings: 0 }`,
  },
  {
    row: 40,
    what: 'calls on a session of the wrong direction are done',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'a file is preserved in a session that came in; finish then takes it for one of the predecessor',
    fails: 'preserve file: ok, expected EINVAL',
    scenario: `${SMALL}
steps:
  - session: { name: vm, files: [{ token: 1, memfd: 64K }] }
  - kexec
  - retrieve: vm
  - preserve file: { session: vm, token: 2, memfd: 64K }
    expect: EINVAL
  - finish: vm
expect: { intact: [vm], warnings: 0 }`,
  },
  {
    row: 41,
    what: 'sessions are frozen for a kexec that comes back',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'a file cannot be frozen at that moment; the kexec that does not need it is refused',
    fails: 'kexec and return: EIO, expected ok',
    scenario: `${X86}
steps:
  - session: { name: vm, files: [{ token: 1, memfd: 64K }] }
  - fault: { at: luo.freeze-file }
  - kexec and return
  - kexec: {}
    expect: EIO
  - kexec
  - retrieve: vm
  - finish: vm
expect: { intact: [vm], warnings: 0 }`,
  },
  {
    row: 42,
    what: 'a session without a name is accepted',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'a session called ""; it is made',
    fails: 'session: ok, expected EINVAL',
    scenario: `${SMALL}
steps:
  - session: { name: "" }
    expect: EINVAL`,
  },
  {
    row: 43,
    what: 'the reserved field of FINISH is not looked at',
    bad: { release: '7.1' },
    good: { release: '7.2' },
    pageSize: '4K',
    shows: 'a call with 1 in it; the session is finished',
    fails: 'finish: ok, expected EINVAL',
    scenario: `${SMALL}
steps:
  - session: { name: vm, files: [{ token: 1, memfd: 64K }] }
  - kexec
  - retrieve: vm
  - finish: { session: vm, reserved: 1 }
    expect: EINVAL
  - finish: vm
expect: { intact: [vm], warnings: 0 }`,
  },
  {
    row: 44,
    what: 'an FLB is finished with its last file, whoever works with it',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'somebody has one of the test FLBs when the session is finished; it is finished with the others',
    fails: 'finish was triggered',
    scenario: `${TESTING}
steps:
  - session: { name: vm, files: [{ token: 1, memfd: 64K }] }
  - kexec
  - get flb: liveupdate-test-flb-v0
  - retrieve: vm
  - finish: vm
expect:
  intact: [vm]
  log: "liveupdate-test-flb-v1: finish was triggered"
  no log: "liveupdate-test-flb-v0: finish was triggered"`,
  },
  {
    row: 45,
    what: 'the number of a huge memfd’s pages is cut to 32 bits',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'a sparse memfd of one page more than 16 TiB; its first page is preserved, and its last is not',
    fails: 'session vm: file 0x1: content differs from byte 17592186044416 on',
    scenario: `${SMALL}
steps:
  - session: { name: vm, files: [{ token: 1, memfd: 0x100000001000, holes: [{ at: 4K, size: 0xffffffff000 }] }] }
    expect: EFBIG
  - kexec
  - retrieve: vm`,
  },
  {
    row: 46,
    what: 'when a memfd cannot be retrieved, frame numbers are taken for addresses of what is to be given back',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'retrieving fails at the first folio; the others stay set aside for good',
    fails: 'leaked: kernel 2: 15 pages',
    scenario: `${SMALL}
steps:
  - session: { name: vm, files: [{ token: 1, memfd: 64K }] }
  - kexec
  - fault: { at: memfd.charge-folio }
  - retrieve: vm
    expect: ENOMEM
  - finish: vm
expect: { damagedObjects: [vm], leaked: 0, warnings: 0 }`,
  },
  {
    row: 48,
    what: 'what is written to a clean page of a preserved memfd is dropped under memory pressure in the next kernel',
    bad: { release: '7.3', quirks: ['memfd-saves-folio-flags'] },
    good: { release: '7.3' },
    pageSize: '4K',
    shows: 'a page of a hole, clean when it is preserved, is written to; it comes back, and reclaim takes it',
    fails: 'session vm: file 0x1: content differs from byte 8192 on',
    scenario: `${SMALL}
steps:
  - session: { name: vm, files: [{ token: 1, memfd: 64K, holes: [{ at: 0, size: 64K }] }] }
  - write file: { session: vm, token: 1, offset: 8K, bytes: "c0 ff ee" }
  - kexec
  - retrieve: vm
  - finish: vm
  - reclaim
  - read file: { session: vm, token: 1 }
expect: { intact: [vm] }`,
  },
  {
    row: 49,
    what: 'the seals of a memfd vanish',
    bad: { release: '7.0' },
    good: { release: '7.1' },
    pageSize: '4K',
    shows: 'a file that is sealed against writing; in the next kernel it can be written to',
    fails: 'write file: ok, expected EPERM',
    scenario: `${SMALL}
steps:
  - session: { name: vm, files: [{ token: 1, memfd: 64K, seals: [WRITE] }] }
  - kexec
  - retrieve: vm
  - write file: { session: vm, token: 1 }
    expect: EPERM
expect: { intact: [vm] }`,
  },
];

/** Of these, what no scenario shows. */
export const LIVEUPDATE_NOT_SHOWN: readonly NotShown[] = [
  {
    row: 37,
    what: 'unpreserving and finishing use a file handler after they have let go of its module',
    why: 'what is used is memory of a module that is unloaded at that moment; modules are not modelled',
  },
  {
    row: 38,
    what: 'a session is looked up, closed by another task, and used',
    why: 'what is used is a small object of the kernel’s heap, which is no page of its own here; what it holds by then decides everything',
  },
  {
    row: 47,
    what: 'a folio that cannot be accounted stays in the page cache of the file that is being made',
    why: 'the file goes with the error, and all folios in it: the same pages are free afterwards, with or without the fix',
  },
  {
    row: 50,
    what: 'the size of a file is stored without what 32-bit readers need',
    why: 'on 64-bit machines, and there are no others here, both are one store',
  },
];
