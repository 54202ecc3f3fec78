import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import type { CanaryRolloutInput, RolloutResult, RolloutStatus } from '../../schemas/index.ts';
import type { Stores } from '../../bucket/index.ts';
import { createLogViews, openDatabase } from '../../sql/index.ts';
import { register, serve } from '../api/serving/fixture.ts';
import { registerOdd, type OddGraph } from '../api/serving/challenger/odd-graphs.ts';
import { Client, paced } from '../torture/client.ts';
import { good } from '../torture/models.ts';
import { Replica } from '../torture/replica.ts';
import { startInProcess, type InProcess } from './in-process.ts';

/** Traffic to one model: what was answered is in the client. */
export interface Traffic {
  client: Client;
  /** What was not answered as it should be. */
  failures(): string[];
  end(): Promise<void>;
}

/** What a harmful challenger did, as canary or in its bake, as the prediction log has it. */
export interface Harm {
  /** From the fifth answer that it failed, or took too long for, to the last that any replica assigned to it. */
  fifthToLastMs: number;
  harmed: number;
  byWhy: Record<string, number>;
  /** Rows that were assigned to it while the breakers did not let it be asked. */
  breakerOpen: number;
}

interface LoggedRow {
  id: string;
  /** That it was assigned to. */
  version: number;
  reason: string;
  why: string | null;
  graph_ms: number;
  ms: number;
}

/** Two replicas in processes of their own, Temporal and its workers in this one, and a bucket in a folder. */
export class CanaryBench {
  readonly gauntlet: InProcess;
  readonly replicas: Replica[];

  private constructor(gauntlet: InProcess, replicas: Replica[]) {
    this.gauntlet = gauntlet;
    this.replicas = replicas;
  }

  static async start(): Promise<CanaryBench> {
    const gauntlet = await startInProcess();
    const o = { folder: join(gauntlet.folder, 'replicas'), bucket: `file:${gauntlet.bucket}` };
    await mkdir(o.folder);
    const replicas = [await Replica.prepare('a', o), await Replica.prepare('b', o)];
    // Without a model they would not be ready.
    await register(gauntlet.stores, 'first', good(1));
    await serve(gauntlet.stores, 'first', { champion: 1 });
    await Promise.all(replicas.map((replica) => replica.start()));
    return new CanaryBench(gauntlet, replicas);
  }

  get stores(): Stores {
    return this.gauntlet.stores;
  }

  async stop(): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.kill()));
    await this.gauntlet.stop();
  }

  /** A model with a good champion, version 1, and a challenger, version 2, which every replica serves. */
  async model(model: string, challenger: OddGraph | 'good'): Promise<void> {
    await register(this.stores, model, good(1));
    if (challenger === 'good') await register(this.stores, model, good(2));
    else await registerOdd(this.stores, model, challenger);
    await this.followed(model, await serve(this.stores, model, { champion: 1 }));
  }

  /** @param row  what each request asks, but for x */
  traffic(model: string, perSecond: number, row: Record<string, number> = {}): Traffic {
    const client = new Client(model, this.replicas);
    let goesOn = true;
    const running = paced({ perSecond, mostAtOnce: 64, goesOn: () => goesOn }, async (n) => {
      await client.predict(`${model}-${n}`, [{ x: n % 1000, ...row }]);
    });
    return {
      client,
      failures: () => [...client.failures, ...client.unheard],
      end: async () => {
        goesOn = false;
        await running;
        client.close();
      },
    };
  }

  async rollout(model: string, stages: CanaryRolloutInput['stages']): Promise<Rollout> {
    const input: CanaryRolloutInput = { model, version: 2, stages, by: 'tests' };
    return new Rollout(await this.gauntlet.start('canaryRollout', `rollout-${model}`, input));
  }

  /** Reads the log once all that the clients had answered is in it. */
  async harm(model: string, { client }: Traffic, sloMs = Infinity): Promise<Harm> {
    for (; ; await sleep(500)) {
      const rows = await this.#log(model);
      const kept = new Set(rows.map(({ id }) => id));
      if (client.answered.some(({ id, life }) => !kept.has(id) && life.killedMs === undefined)) continue;
      const own = rows.filter(({ version }) => version === 2).sort((a, b) => a.ms - b.ms);
      const harmed = own.filter(
        ({ why, reason, graph_ms }) => why !== null || (reason === 'canary' && graph_ms > sloMs),
      );
      const byWhy: Record<string, number> = {};
      for (const { why } of harmed) byWhy[why ?? 'slow'] = (byWhy[why ?? 'slow'] ?? 0) + 1;
      return {
        fifthToLastMs: own.at(-1)!.ms - harmed[4]!.ms,
        harmed: harmed.length,
        byWhy,
        breakerOpen: own.filter(({ reason }) => reason === 'breaker-open').length,
      };
    }
  }

  async #log(model: string): Promise<LoggedRow[]> {
    const scratch = join(this.gauntlet.folder, `reader-${model}`);
    await mkdir(scratch, { recursive: true });
    const { broken: _, ...files } = await this.stores.logHours.files(model, {}, scratch);
    const db = await openDatabase({ files: [...files.raw, ...files.parquet], threads: 1 });
    try {
      await createLogViews(db, model, files);
      return (await db.rowsOf(
        `SELECT request_id AS id, assigned_version::DOUBLE AS version, reason, failed_why AS why, graph_ms, epoch_ms(answered_at)::DOUBLE AS ms FROM answers`,
      )) as unknown as LoggedRow[];
    } finally {
      db.close();
    }
  }

  /** Deaths of challenger processes so far, of all replicas that are up, by reason. */
  async deaths(reason: 'crashed' | 'hung' | 'memory'): Promise<number> {
    let deaths = 0;
    for (const { port } of this.replicas) {
      const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      deaths += Number(
        new RegExp(`^gauntlet_challenger_restarts_total\\{reason="${reason}"\\} (\\d+)`, 'm').exec(metrics)?.[1] ?? 0,
      );
    }
    return deaths;
  }

  /** Until every replica answers under this revision, or a later one. */
  async followed(model: string, revision: number): Promise<void> {
    await Promise.all(
      this.replicas.map(async ({ port }) => {
        for (let seen = 0; seen < revision; await sleep(10)) {
          const answer = fetch(`http://127.0.0.1:${port}/v1/models/${model}/predict`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ x: 1 }),
          }).then((response) => response.json() as Promise<{ revision?: number }>);
          // One that is down comes back.
          seen = (await answer.catch(() => ({ revision: 0 }))).revision ?? 0;
        }
      }),
    );
  }
}

export class Rollout {
  readonly handle: WorkflowHandle;

  constructor(handle: WorkflowHandle) {
    this.handle = handle;
  }

  async result(): Promise<RolloutResult> {
    return (await this.handle.result()) as RolloutResult;
  }

  async status(): Promise<RolloutStatus> {
    return this.handle.query<RolloutStatus>('status');
  }

  async say(what: 'pause' | 'resume' | 'advance' | 'rollback', reason: string): Promise<RolloutStatus> {
    return this.handle.executeUpdate<RolloutStatus, [object]>(what, { args: [{ by: 'ana', reason }] });
  }

  /** Until it is watched in this stage. */
  async reaches(stage: number): Promise<RolloutStatus> {
    for (;;) {
      const status = await this.status();
      if (status.state === 'ended') throw new Error(`it ended before: ${status.outcome}`);
      if (status.at >= stage && status.revision !== undefined) return status;
      await sleep(50);
    }
  }
}
