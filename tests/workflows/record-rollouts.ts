import type { WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { rollBack } from '../../bucket/index.ts';
import type { VoteRecord } from '../../schemas/index.ts';
import {
  APPROVAL,
  BAKE,
  CANARY,
  SHADOW,
  stages,
  startLab,
  until,
  writeTraffic,
  writeWord,
  type Lab,
  type Script,
} from './rollout-lab.ts';

type Keep = (name: string, workflowId: string, history: { events: unknown[] }) => Promise<void>;

/** Golden histories of rollouts: every door, every stage, every way to end, and one that is still open. */
export async function recordRollouts(keep: Keep): Promise<void> {
  const lab = await startLab();
  const say = (handle: WorkflowHandle, name: string, args: object = {}) =>
    handle.executeUpdate(name, { args: [{ by: 'bo', reason: 'history', ...args }] });
  const { asked, skipLook } = lab;
  const skipLooks = async (handle: WorkflowHandle) => {
    for (let looks = 0; looks < 3; looks++) await until(() => skipLook(handle));
  };

  async function record(
    name: string,
    given: Partial<Script>,
    o: { list?: object[]; type?: string; open?: true; rollout?: object },
    steer: (handle: WorkflowHandle, lab: Lab) => Promise<unknown> = async () => {},
  ): Promise<void> {
    const model = name.replace('rollout-', '');
    await lab.model(model, given, o.rollout);
    const input = o.list ? { stages: stages(...o.list) } : {};
    const handle = await lab.start(model, input, o.type);
    await steer(handle, lab);
    if (!o.open) await lab.result(handle).catch(() => {});
    const history = JSON.parse(historyToJSON(await handle.fetchHistory())) as { events: unknown[] };
    await keep(name, `rollout-${model}`, history);
    if (o.open) {
      await handle.cancel();
      await lab.result(handle);
    }
  }

  const slow = (day: number) => (day < 3 ? 'undecided' : 'pass');
  const watching = (handle: WorkflowHandle) =>
    until(async () =>
      ['canary', 'bake'].includes((await lab.status(handle)).stages[(await lab.status(handle)).at]?.kind ?? ''),
    );
  try {
    const whole = [{ kind: 'shadow', live: {} }, APPROVAL, CANARY, BAKE];
    await record('rollout-promoted-through-all-stages', { look: slow }, { list: whole }, async (handle) => {
      await asked(handle);
      await handle.signal('approve', { by: 'cy', reason: 'history', look: 'deadbeef' });
      await say(handle, 'approve');
    });
    await record('rollout-shadow-trial-passed', { look: slow }, { type: 'shadowTrial' });
    await record('rollout-shadow-plan-refused', { plan: 'fail' }, { list: [SHADOW] });
    await record('rollout-shadow-rejected', { look: (day) => (day < 2 ? 'undecided' : 'fail') }, { list: [SHADOW] });
    await record('rollout-shadow-no-data', { look: () => ({ says: 'no-data', over: 'no data' }) }, { list: [SHADOW] });
    await record('rollout-shadow-open', { look: () => 'undecided' }, { list: [SHADOW], open: true }, async (handle) => {
      await skipLooks(handle);
      await say(handle, 'changePlan', { stage: { alpha: 0.1 } });
      await skipLooks(handle);
      await say(handle, 'pause');
      await new Promise((done) => setTimeout(done, 500));
    });
    await record('rollout-approval-expired', {}, { list: [SHADOW, APPROVAL] }, asked);
    await record('rollout-approval-rejected', {}, { list: [SHADOW, APPROVAL] }, async (handle) => {
      await asked(handle);
      await say(handle, 'reject');
    });
    const reopens = (day: number) => (day < 2 || day > 4 ? 'pass' : 'undecided');
    await record('rollout-approval-reopened', { look: reopens }, { list: [SHADOW, APPROVAL] }, async (handle) => {
      await asked(handle);
      await skipLooks(handle);
      await asked(handle);
      await say(handle, 'approve');
    });
    let says: 'pass' | undefined;
    await record(
      'rollout-canary-steered',
      { watch: () => says },
      { list: [CANARY, BAKE], type: 'canaryRollout' },
      async (handle) => {
        await watching(handle);
        await say(handle, 'pause');
        await new Promise((done) => setTimeout(done, 4000));
        await say(handle, 'resume');
        await new Promise((done) => setTimeout(done, 4000));
        await say(handle, 'advance');
        says = 'pass';
      },
    );
    await record('rollout-canary-rolled-back', { watch: () => 'fail' }, { list: [CANARY] });
    await record(
      'rollout-canary-rolled-back-by-hand',
      { watch: () => undefined },
      { list: [CANARY] },
      async (handle) => {
        await watching(handle);
        await say(handle, 'rollback');
      },
    );
    const held = (_: string, { paused }: { paused: boolean }) =>
      paused ? undefined : ({ says: 'undecided', over: 'no data' } as const);
    await record(
      'rollout-canary-held',
      { watch: held },
      { list: [{ ...CANARY, onNoData: 'hold' }] },
      async (handle) => {
        await until(async () => (await lab.status(handle)).state === 'paused');
        await new Promise((done) => setTimeout(done, 1000));
        await say(handle, 'rollback');
      },
    );
    await record(
      'rollout-bake-rolled-back',
      { watch: (kind) => (kind === 'bake' ? 'fail' : 'pass') },
      { list: [CANARY, BAKE] },
    );
    await record('rollout-cancelled', { watch: () => undefined }, { list: [CANARY] }, async (handle) => {
      await watching(handle);
      await handle.cancel();
    });
    let go = false;
    await record(
      'rollout-overtaken',
      { watch: () => (go ? 'pass' : undefined) },
      { list: [CANARY, BAKE] },
      async (handle) => {
        await watching(handle);
        await rollBack(lab.stores.serving, 'overtaken', 1, 'cy', 'history', {
          workflowId: 'rollback',
          runId: 'x',
          step: 'rollback',
        });
        go = true;
      },
    );
    await record('rollout-signed', { look: slow, watch: () => 'pass' }, { list: [SHADOW, CANARY] }, async (handle) => {
      const signed = async (name: VoteRecord['says'], args: object = {}) =>
        say(handle, name, { record: await writeWord(lab, handle, name, { reason: 'history', ...args }), ...args });
      await until(async () => (await lab.status(handle)).look?.kind === 'shadow');
      await signed('pause');
      await signed('resume');
      await signed('changePlan', { stage: { alpha: 0.1 } });
      await signed('advance');
    });
    for (const [name, ofOne] of [
      ['checked', 6],
      ['refused', 600],
    ] as const) {
      await writeTraffic(lab, `units-${name}`, ofOne);
      await record(`rollout-units-${name}`, {}, { list: [CANARY], rollout: { unit: 'customer' } });
    }
    const blind = () => {
      throw new RangeError('the log cannot be read');
    };
    await record('rollout-blind', { watch: blind }, { list: [CANARY] });
  } finally {
    await lab.stop();
  }
}
