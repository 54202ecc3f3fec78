import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anyFree } from '../../workers/temporal/ports.ts';
import { temporalBinary } from '../servers/temporal.ts';
import {
  devServerOf,
  endProcessesOf,
  prepareMachine,
  runGauntlet,
  startGauntlet,
  type Machine,
  type Started,
} from './process.ts';
import { visits, writeSmallProject } from './small-project.ts';

describe('by hand, against a process that is up', () => {
  let machine: Machine;
  let running: Started;
  let temporal: (args: string[]) => Promise<{ code: number | null; stdout: string; stderr: string }>;
  let env: NodeJS.ProcessEnv;

  beforeAll(async () => {
    machine = await prepareMachine();
    await writeSmallProject(join(machine.models, 'small'), { rows: 400 });
    // Long enough to be met while it runs.
    await writeSmallProject(join(machine.models, 'slow'), {
      name: 'slow',
      rows: 6000,
      spec: { training: { algorithm: 'gradientBoosting', trees: 3000, maxDepth: 6, earlyStoppingRounds: 0 } },
    });
    env = { ...machine.env, PORT: String(await anyFree()) };
    running = startGauntlet(['up'], env);
    await running.said(/^Ctrl-C stops everything/);
    const [binary, { port }] = await Promise.all([temporalBinary(), devServerOf(machine.home)]);
    temporal = async (args) => {
      const child = spawn(binary, [...args, '--address', `127.0.0.1:${port}`], { env: machine.env });
      let [stdout, stderr] = ['', ''];
      child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      const code = await new Promise<number | null>((done) => child.once('close', done));
      return { code, stdout, stderr };
    };
  });
  afterAll(async () => {
    await endProcessesOf(machine.folder);
    await machine.remove();
  });

  describe('the temporal command', () => {
    const begin = (workflowId: string, input: object, ...more: string[]) =>
      temporal(
        ['workflow', 'start', '--type', 'trainingPipeline', '--task-queue', 'gauntlet'].concat(
          ['--workflow-id', workflowId],
          more,
          ['--input', JSON.stringify(input)],
        ),
      );
    const result = async (workflowId: string) => {
      const { code, stdout, stderr } = await temporal(['workflow', 'result', '-w', workflowId, '-o', 'json']);
      return {
        code,
        stdout,
        stderr,
        json: code === 0 ? (JSON.parse(stdout) as { result: unknown }).result : undefined,
      };
    };

    it('trains under any workflow id, given {"model": ...}', async () => {
      expect(await begin('any-id', { model: 'small' }, '--fail-existing')).toMatchObject({ code: 0 });
      expect((await result('any-id')).json).toMatchObject({ outcome: 'registered', model: 'small', version: 1 });
    });

    it('finds it by the model that it trained, and shows each step', async () => {
      const listed = await listedBy("GauntletModel='small' and GauntletOutcome='registered' and GauntletVersion=1");
      expect(listed).toEqual(['any-id']);
      const { stdout } = await temporal(['workflow', 'describe', '-w', 'any-id', '-o', 'json']);
      expect(stdout).toContain('GauntletStage');
      const asked = await temporal(['workflow', 'query', '-w', 'any-id', '--type', 'progress']);
      expect(asked.stdout).toContain('400 rows sealed');
      const { stdout: history } = await temporal(['workflow', 'show', '-w', 'any-id', '-o', 'json']);
      expect(history).toContain('EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED');
    });

    it('fails for an unknown model, and shows the nearest names', async () => {
      await begin('unknown', { model: 'smal' });
      expect((await result('unknown')).code).not.toBe(0);
      const { stdout } = await temporal(['workflow', 'show', '-w', 'unknown']);
      expect(stdout.replace(/\s+/g, ' ')).toContain('There is no model smal. Did you mean small?');
    });

    it('fails for input that it cannot read, and shows an example', async () => {
      await begin('unreadable', { modle: 'small' });
      expect((await result('unreadable')).code).not.toBe(0);
      const { stdout } = await temporal(['workflow', 'show', '-w', 'unreadable']);
      expect(stdout).toContain('hotel-cancellations');
    });

    it('is refused a second start under the same id with --fail-existing; under another id both train', async () => {
      expect(await begin('slow-1', { model: 'slow' }, '--fail-existing')).toMatchObject({ code: 0 });
      const again = await begin('slow-1', { model: 'slow' }, '--fail-existing');
      expect(again.code).not.toBe(0);
      expect(again.stderr).toMatch(/already (started|running|exists)/i);
      const other = { model: 'slow', overrides: { 'training.trees': 5 } };
      expect(await begin('slow-2', other, '--fail-existing')).toMatchObject({ code: 0 });
      expect((await result('slow-2')).json).toMatchObject({ outcome: 'registered', version: 1 });
      expect(await listedBy("GauntletModel='slow' and ExecutionStatus='Running'")).toEqual(['slow-1']);
      expect(await temporal(['workflow', 'cancel', '-w', 'slow-1'])).toMatchObject({ code: 0 });
      expect((await result('slow-1')).code).not.toBe(0);
      const { stdout } = await temporal(['workflow', 'describe', '-w', 'slow-1']);
      expect(stdout).toMatch(/cancel+ed/i);
    });

    /** Visibility follows a moment later. */
    async function listedBy(query: string): Promise<string[]> {
      for (let attempt = 0; ; attempt++) {
        const { stdout } = await temporal(['workflow', 'list', '--query', query, '-o', 'json']);
        const found = JSON.parse(stdout || '[]') as { execution: { workflowId: string } }[];
        if (found.length > 0 || attempt === 50) return found.map(({ execution }) => execution.workflowId);
        await new Promise((done) => setTimeout(done, 100));
      }
    }
  });

  describe('the gauntlet command', () => {
    const gauntlet = (...args: string[]) => runGauntlet(args, env);
    const answerOf = async <T>(...args: string[]): Promise<T> => {
      const { code, stdout, stderr } = await gauntlet(...args, '--json');
      expect(code, stderr).toBe(0);
      return JSON.parse(stdout) as T;
    };

    it('apply --dry-run says what would change and changes nothing; apply does it', async () => {
      const folder = join(machine.models, 'small');
      await writeFile(join(folder, 'visits.csv'), visits(420));
      const would = await answerOf<object[]>('apply', folder, '--dry-run');
      expect(would).toEqual([
        expect.objectContaining({ model: 'small', n: 2, changed: true, dryRun: true, changes: ['visits.csv changed'] }),
      ]);
      expect(await answerOf('models', 'small')).toMatchObject({ project: { n: 1 } });
      expect(await answerOf('apply', folder)).toMatchObject([{ model: 'small', n: 2, changed: true, dryRun: false }]);
      expect(await answerOf('apply', folder)).toMatchObject([{ n: 2, changed: false }]);
    });

    it('train --set follows the training, with its steps on stderr and one JSON value on stdout', async () => {
      const args = ['train', 'small', '--set', 'training.maxDepth=2', '--set', 'training.trees=10'];
      const { code, stdout, stderr } = await gauntlet(...args, '--promote', '--json');
      expect(code, stderr).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        workflowId: 'train-small',
        status: 'completed',
        result: { outcome: 'registered', version: 2, rollout: 'rollout-small' },
      });
      expect(stderr).toMatch(/^train-small started/);
      expect(stderr).toMatch(/^rows +420 rows sealed/m);
      expect(stderr).toMatch(/^register +.*version 2/m);
    });

    it('runs, models and status say the same of it, as JSON and as tables', async () => {
      const runs = await answerOf<{ id: string; outcome: string; version: number; workflowId: string }[]>(
        'runs',
        'small',
      );
      expect(runs).toMatchObject([
        { outcome: 'registered', version: 2, workflowId: 'train-small', metric: 'logLoss' },
        { outcome: 'registered', version: 1, workflowId: 'any-id' },
      ]);
      await servedBy(2);
      expect(await answerOf('models')).toMatchObject([{ model: 'slow' }, { model: 'small', champion: 2, newest: 2 }]);
      expect(await answerOf('models', 'small')).toMatchObject({ versions: [{ n: 2, serves: 'champion' }, { n: 1 }] });
      expect(await answerOf('status')).toMatchObject({ bucket: { ok: true }, temporal: { ok: true } });
      for (const command of [['runs'], ['models'], ['models', 'small'], ['status']]) {
        const { code, stdout, stderr } = await gauntlet(...command);
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
        expect(stdout).toContain('small');
      }
    });

    it('predict --example answers with the version that serves', async () => {
      expect(await answerOf('predict', 'small', '--example')).toMatchObject({
        version: 2,
        probability: expect.any(Number) as number,
        prediction: expect.any(Boolean) as boolean,
      });
    });

    it('promote is refused without stages, and done by force with a reason', async () => {
      const refused = await gauntlet('promote', 'small', '--to', '1');
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(/stages/);
      expect((await gauntlet('promote', 'small', '--to', '1', '--force')).code).toBe(2);
      expect(await answerOf('promote', 'small', '--to', '1', '--force', '--reason', 'by hand')).toMatchObject({
        workflowId: 'rollout-small',
        result: { outcome: 'promoted', version: 1, revision: 2 },
      });
      await servedBy(1);
    });

    it('rollback serves the version before', async () => {
      const done = await answerOf('rollback', 'small', '--reason', 'it was better');
      expect(done).toMatchObject({ model: 'small', from: 1, to: 2, revision: 3 });
      await servedBy(2);
    });

    it('a rollout waits for a word, which the temporal command can give it', { timeout: 180_000 }, async () => {
      const input = { model: 'small', version: 1, stages: [{ kind: 'approval' }] };
      const start = ['workflow', 'start', '--type', 'promotion', '--task-queue', 'gauntlet', '--fail-existing'];
      const byHand = [...start, '--workflow-id', 'rollout-small', '--input', JSON.stringify(input)];
      expect(await temporal(byHand)).toMatchObject({ code: 0 });
      await waits();
      const { code, stdout } = await gauntlet('rollout', 'small');
      expect(code).toBe(0);
      expect(stdout).toMatch(/The promotion of small version 1 runs since .*, at stage 1 of 1 \(approval\), waiting/);
      expect(stdout).toMatch(/^→ +1 approval +a word within 7 days, else rejected$/m);
      const again = await gauntlet('promote', 'small', '--to', '1');
      expect(again.code).toBe(1);
      expect(again.stderr).toMatch(/running already.*the promotion of version 1 since .*\(approval\), waiting/);
      expect(again.stderr).toContain('--supersede');
      const vote = ['--name', 'approve', '--input', '{"by":"ana","reason":"it was better"}'];
      expect(await temporal(['workflow', 'signal', '--workflow-id', 'rollout-small', ...vote])).toMatchObject({
        code: 0,
      });
      const followed = await gauntlet('rollout', 'small', '--follow', '--json');
      expect(followed.code, followed.stderr).toBe(0);
      expect(JSON.parse(followed.stdout)).toMatchObject({ result: { outcome: 'promoted', version: 1 } });
      const { entries } = await answerOf<{ entries: object[] }>('history', 'small');
      expect(entries[0]).toMatchObject({ champion: 1, verdict: { kind: 'approval', says: 'pass' } });
      await servedBy(1);
    });

    it(
      'with a key of the bucket, a word is verified, and nobody else changes anything',
      { timeout: 180_000 },
      async () => {
        const made = await gauntlet('keys', 'create', '--name', 'ana', '--scope', 'approve', '--scope', 'operate');
        expect(made.code, made.stderr).toBe(0);
        await new Promise((done) => setTimeout(done, 1_100)); // it is known within a second
        const stages = join(machine.folder, 'approval.yaml');
        await writeFile(stages, '- { kind: approval }\n');
        const promote = ['promote', 'small', '--to', '2', '--stages', stages];
        expect(await gauntlet(...promote)).toMatchObject({
          code: 1,
          stderr: expect.stringContaining('GAUNTLET_API_KEY'),
        });
        const keyed = { ...env, GAUNTLET_API_KEY: made.stdout.trim() };
        const begun = await runGauntlet(promote, keyed);
        expect(begun.code, begun.stderr).toBe(0);
        expect(begun.stdout).toContain('rollout-small of version 2 is under way');
        await waits();
        const approved = await runGauntlet(['approve', 'small', '--reason', 'seen', '--json'], keyed);
        expect(approved.code, approved.stderr).toBe(0);
        expect(JSON.parse(approved.stdout)).toMatchObject({ vote: { by: 'ana', verified: true, channel: 'api' } });
        await servedBy(2);
        const looks = await answerOf<{ looks: object[] }>('looks', 'small', '--kind', 'approval');
        expect(looks.looks).toHaveLength(2);
      },
    );

    async function waits(): Promise<void> {
      await expect
        .poll(
          async () => {
            const answer = await fetch(`http://127.0.0.1:${env['PORT']}/v1/models/small/rollout`);
            return ((await answer.json()) as { status?: { state: string } }).status?.state;
          },
          { timeout: 60_000 },
        )
        .toBe('waiting');
    }

    it('doctor finds nothing that fails', async () => {
      const { says, checks } = await answerOf<{ says: string; checks: { check: string; says: string }[] }>('doctor');
      expect(checks.filter((check) => check.says === 'fail')).toEqual([]);
      expect(says).not.toBe('fail');
      expect(checks.map(({ check }) => check)).toEqual(expect.arrayContaining(['api', 'bucket', 'temporal']));
    });

    it('names the nearest for what is mistyped, with its exit code', async () => {
      const model = await gauntlet('predict', 'smal', '--example');
      expect(model).toMatchObject({ code: 1, stderr: expect.stringContaining('Did you mean small?') as string });
      const command = await gauntlet('modles');
      expect(command).toMatchObject({ code: 2, stderr: expect.stringContaining('Did you mean models?') as string });
    });

    it('rolls back on the bucket itself, and looks for itself, once the API is down', async () => {
      running.kill('SIGINT');
      expect(await running.ended).toBe(0);
      expect((await gauntlet('status')).code).toBe(3);
      const { code, stdout, stderr } = await gauntlet('rollback', 'small', '--to', '1', '--reason', 'night', '--json');
      expect(code, stderr).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ model: 'small', from: 2, to: 1 });
      expect(stderr).toContain('rolling back on the bucket itself');
      const doctor = await gauntlet('doctor', '--json');
      expect(doctor.code).toBe(3);
      expect(JSON.parse(doctor.stdout)).toMatchObject({ says: 'fail' });
    });

    it('is heard by the process that starts next', async () => {
      running = startGauntlet(['up'], env);
      await running.said(/^Ctrl-C stops everything/);
      await servedBy(1);
      running.kill('SIGINT');
      expect(await running.ended).toBe(0);
    });

    /** The API follows the serving log within a second or so. */
    async function servedBy(version: number): Promise<void> {
      await expect
        .poll(async () => (await answerOf<{ version: number }>('predict', 'small', '--example')).version, {
          timeout: 20_000,
        })
        .toBe(version);
    }
  });
});
