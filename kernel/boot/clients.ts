import { ReserveMem } from '../clients/reserve-mem.ts';
import { TestKho } from '../clients/test-kho.ts';
import type { KernelContext } from '../context.ts';
import type { KhoCore } from '../kho/kho-core.ts';
import { readKexecMetadata, writeKexecMetadata } from '../kho/metadata.ts';
import { Luo } from '../liveupdate/luo.ts';
import type { BootClient } from './boot-state.ts';

/** KHO's users in the kernel tree. Undefined is what the release or the configuration does not have. */
export interface KernelClients {
  readonly reserveMem: ReserveMem;
  readonly testKho: TestKho | undefined;
  readonly luo: Luo | undefined;
}

/** Makes the clients of a kernel; they come up through `bootClients`. */
export function makeClients(ctx: KernelContext): KernelClients {
  return {
    reserveMem: new ReserveMem(ctx),
    testKho: ctx.config.TEST_KEXEC_HANDOVER && ctx.release.test !== undefined ? new TestKho(ctx) : undefined,
    luo: ctx.release.luo === undefined ? undefined : new Luo(ctx),
  };
}

/** The clients' initcalls, in link order: LUO, reserve_mem, memfd's handler; kexec-metadata belongs to KHO itself. */
export function bootClients(ctx: KernelContext, kho: KhoCore, clients: KernelClients): readonly BootClient[] {
  const { reserveMem, testKho, luo } = clients;
  return [
    {
      name: 'kexec-metadata',
      khoInit: () => {
        const kexecCount = kho.isKhoBoot ? (readKexecMetadata(ctx)?.kexecCount ?? 0) : 0;
        if (writeKexecMetadata(ctx, ctx.release.uts, kexecCount) !== 0) kho.shutDown();
      },
    },
    {
      name: 'test_kho',
      device: () => {
        testKho?.init();
        if (testKho !== undefined) kho.onFinalize(() => testKho.finalize());
      },
    },
    { name: 'luo', early: () => luo?.earlyInit(), late: () => void luo?.lateInit() },
    {
      name: 'reserve_mem',
      earlyParameters: () => {
        for (const value of ctx.cmdline.all('reserve_mem')) reserveMem.parse(value);
      },
      late: () => {
        reserveMem.lateInit();
        kho.onFinalize(() => reserveMem.finalize());
      },
    },
    { name: 'memfd', late: () => luo?.registerHandlers() },
  ];
}
