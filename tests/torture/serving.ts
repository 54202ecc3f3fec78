import type { ChildProcess } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import {} from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openStores, rollBack, type Stores } from '../../bucket/index.ts';
import { Random } from '../../numerics/index.ts';
import { UserError, type Cause, type Serving } from '../../schemas/index.ts';
import { processesOf } from '../e2e/process.ts';
import { CREDENTIALS, startS3Server, type S3Server } from '../servers/s3.ts';
import { Client, paced } from './client.ts';
import { keepHouse } from './house.ts';
import { findViolations, type Found } from './invariants.ts';
import { MODEL, registerModels } from './models.ts';
import { Replica } from './replica.ts';
import { planTorture, type Act } from './schedule.ts';
import { inScratch, type TortureOptions } from './torture.ts';

const MOST_AT_ONCE = 128;
/** Nothing may be wanted of it, or it is being brought back. */
const CHALLENGER_WAIT_MS = 5_000;
const LABELLED_AT_ONCE = 1_000;

/** Two replicas, a bucket and traffic, all of it ended and brought back at random; then what is left is held against what was promised. */
export const tortureServing = (o: TortureOptions): Promise<Found> => inScratch((folder) => Torture.prepare(folder, o));

class Torture {
  readonly #o: TortureOptions;
  readonly #folder: string;
  readonly #bucket: string;
  readonly #s3: S3Server | undefined;
  readonly #stores: Stores;
  readonly #replicas: Replica[];
  readonly #client: Client;
  readonly #did: Record<string, number> = {};
  readonly #children = new Set<ChildProcess>();
  #outages = 0;
  #isDown = false;
  /** What went wrong while it was done, rather than what it left. */
  readonly #faults: string[] = [];

  private constructor(
    o: TortureOptions,
    given: { folder: string; bucket: string; s3: S3Server | undefined; stores: Stores; replicas: Replica[] },
  ) {
    this.#o = o;
    this.#folder = given.folder;
    this.#bucket = given.bucket;
    this.#s3 = given.s3;
    this.#stores = given.stores;
    this.#replicas = given.replicas;
    this.#client = new Client(MODEL, given.replicas);
  }

  static async prepare(folder: string, o: TortureOptions): Promise<Torture> {
    const s3 = o.s3 === undefined ? undefined : await startS3Server(o.s3);
    try {
      let bucket = `file:${join(folder, 'bucket')}`;
      if (s3) {
        bucket = `s3://${await s3.newBucket()}`;
        process.env['GAUNTLET_S3_ENDPOINT'] = s3.endpoint;
        process.env['AWS_ACCESS_KEY_ID'] = CREDENTIALS.accessKeyId;
        process.env['AWS_SECRET_ACCESS_KEY'] = CREDENTIALS.secretAccessKey;
      }
      const home = join(folder, 'harness');
      await mkdir(home);
      await mkdir(join(folder, 'housekeeper'));
      const stores = await openStores({ bucket, home });
      await registerModels(stores);
      const replicas = [await Replica.prepare('a', { folder, bucket }), await Replica.prepare('b', { folder, bucket })];
      const torture = new Torture(o, { folder, bucket, s3, stores, replicas });
      await torture.#append('first', () => ({
        champion: 1,
        canary: { version: 2, weight: 0.2, salt: 'salt-2', until: untilOf({ lastsMs: 3_600_000 }) },
        shadows: [{ version: 3, until: untilOf({ lastsMs: 3_600_000 }) }],
      }));
      await Promise.all(replicas.map((replica) => replica.start()));
      await Promise.all(replicas.map((replica) => replica.challengersLoaded()));
      return torture;
    } catch (error) {
      await s3?.stop();
      throw error;
    }
  }

  /** Traffic and harm side by side; then a clean stop. */
  async run(): Promise<void> {
    const { seed, seconds, say } = this.#o;
    const lengthMs = 1000 * seconds;
    const lanes = planTorture(seed, { lengthMs, bucketCanFall: this.#s3 !== undefined });
    say(`seed ${seed}: ${lanes.map(({ name, acts }) => `${name} ${acts.length}`).join(', ')} acts in ${seconds} s`);
    const from = performance.now();
    const traffic = this.#traffic(lengthMs);
    await Promise.all(
      lanes.map(async ({ name, acts }) => {
        for (const [i, act] of acts.entries()) {
          await sleep(Math.max(0, from + act.atMs - performance.now()));
          try {
            await this.#do(act, `${name}-${i}`);
            this.#did[act.do] = (this.#did[act.do] ?? 0) + 1;
          } catch (error) {
            this.#faults.push(`${JSON.stringify(act)} failed: ${(error as Error).stack}`);
          }
        }
      }),
    );
    await traffic;
    for (const replica of this.#replicas) {
      const code = await replica.stop();
      if (code !== 0) this.#faults.push(`${replica.name} ended with ${code} when it was stopped`);
      const left = await replica.spooled();
      if (left.length > 0)
        this.#faults.push(`${replica.name} was stopped, and its spool still holds ${left.join(', ')}`);
    }
    this.#client.close();
    const left = await processesOf(this.#folder);
    if (left.length > 0) this.#faults.push(`processes are left: ${left.join(', ')}`);
  }

  async findViolations(): Promise<Found> {
    const found = await findViolations({
      stores: await openStores({ bucket: this.#bucket, home: join(this.#folder, 'reader') }),
      folder: this.#folder,
      client: this.#client,
    });
    const violations = [...this.#faults, ...found.violations];
    // What replicas say of their own faults, where there is something to explain.
    if (violations.length > 0)
      for (const replica of this.#replicas) violations.push(...(await replica.errors()).slice(0, 3));
    return { counts: { ...this.#did, ...found.counts }, violations };
  }

  async end(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    await Promise.all(this.#replicas.map((replica) => replica.kill()));
    await this.#s3?.stop();
  }

  async #do(act: Act, id: string): Promise<void> {
    switch (act.do) {
      case 'kill-replica': {
        const replica = this.#replicas[act.replica]!;
        await replica.kill();
        await sleep(act.downMs);
        return replica.start();
      }
      case 'kill-challenger': {
        const until = performance.now() + CHALLENGER_WAIT_MS;
        for (; performance.now() < until; await sleep(200)) {
          const pid = await this.#replicas[act.replica]!.challengerPid();
          if (pid !== undefined) return this.#kill(pid);
        }
        return this.#count('no challenger to kill');
      }
      case 'bucket-down':
        this.#outages++;
        this.#isDown = true;
        await this.#s3!.down(act.signal);
        await sleep(act.downMs);
        await this.#s3!.up();
        this.#isDown = false;
        return;
      case 'canary': {
        const { version, weight } = act;
        const canary = { version, weight, salt: `salt-${version}`, until: untilOf(act) };
        return this.#append(id, ({ shadows, ...rest }) => ({
          ...rest,
          shadows: shadows.filter((shadow) => shadow.version !== version),
          canary,
        }));
      }
      case 'promote':
        return this.#append(id, ({ champion, previous, shadows }) => ({
          champion: act.version,
          previous: champion === act.version ? previous : champion,
          shadows,
        }));
      case 'shadows': {
        const shadows = act.versions.map((version) => ({ version, until: untilOf(act) }));
        return this.#append(id, (serving) => ({ ...serving, shadows }));
      }
      case 'roll-back':
        return this.#rollBack(id, act.to);
      case 'keep-house':
        return this.#keepHouse(act.killAfterMs);
    }
  }

  #count(what: string): void {
    this.#did[what] = (this.#did[what] ?? 0) + 1;
  }

  #kill(pid: number): void {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      this.#count('challengers that ended by themselves');
    }
  }

  /** Another writer may be first: then its state is what is changed. A bucket that is down is asked until it is back. */
  async #append(id: string, change: (serving: Serving) => Serving): Promise<void> {
    const { serving: log } = this.#stores;
    await this.#persist(async () => {
      for (let moved = true; moved;) {
        const head = await log.current(MODEL);
        const appended = await log.append({
          model: MODEL,
          was: head?.n ?? 0,
          serving: change(head?.serving ?? { shadows: [] }),
          by: 'torture',
          because: id,
          cause: causeOf(id),
        });
        if (!appended.ok) this.#count('appends that came second');
        moved = !appended.ok;
      }
    });
  }

  async #rollBack(id: string, to: number | undefined): Promise<void> {
    await this.#persist(async () => {
      try {
        await rollBack(this.#stores.serving, MODEL, to, 'torture', id, causeOf(id));
      } catch (error) {
        if (!(error instanceof UserError && error.type === 'NothingToRollBackTo')) throw error;
        this.#count('rollbacks with nothing before');
      }
    });
  }

  async #persist(work: () => Promise<void>): Promise<void> {
    for (;;)
      try {
        return await work();
      } catch (error) {
        // Only a bucket that has fallen is a reason to fail.
        if (!this.#s3 || error instanceof UserError || error instanceof RangeError) throw error;
        this.#count('contacts with a bucket that was down');
        await sleep(200);
      }
  }

  async #keepHouse(killAfterMs: number | undefined): Promise<void> {
    const outages = this.#isDown ? -1 : this.#outages;
    const end = await keepHouse(
      { bucket: this.#bucket, home: join(this.#folder, 'housekeeper'), killAfterMs },
      this.#children,
    );
    if (end === 'kept') this.#count('hours kept to the end');
    else if (end !== 'killed' && this.#outages > outages) this.#count('housekeepers that found no bucket');
    else if (end !== 'killed') this.#faults.push(`housekeeping failed: ${end.said}`);
  }

  /** Requests at an even rate; now and then several rows at once, a row that does harm, and afterwards a label. */
  async #traffic(lengthMs: number): Promise<void> {
    const random = new Random(this.#o.seed + 1);
    const until = performance.now() + lengthMs;
    const leftOut = await paced(
      { perSecond: this.#o.rate, mostAtOnce: MOST_AT_ONCE, goesOn: () => performance.now() < until },
      (n) => this.#ask(random, n),
    );
    this.#did['requests left out, because so many were under way'] = leftOut;
  }

  async #ask(random: Random, n: number): Promise<void> {
    const row = (): { x: number } & Record<string, unknown> => {
      const kind = random.float();
      return {
        x: random.uint32() % 1000,
        customer: `c${random.uint32() % 500}`,
        ...(kind < 0.01 && { throw: 1 }),
        ...(kind > 0.99 && { ms: 100 }),
        ...(kind > 0.9999 && { ms: 5_000, mb: 500 }),
      };
    };
    const rows = Array.from({ length: random.float() < 0.05 ? 5 : 1 }, row);
    // For some seconds none: a label is synced, and with it the answers before, so that few of them could be lost.
    const isLabelled = random.float() < 0.2 && Math.floor(n / LABELLED_AT_ONCE) % 2 === 0;
    const answered = await this.#client.predict(`r${n}`, rows);
    if (answered && isLabelled) await this.#client.label(`l${n}`, answered.id, n);
  }
}

const causeOf = (step: string): Cause => ({ workflowId: 'torture', runId: 'torture', step });
const untilOf = ({ lastsMs }: { lastsMs: number }): string => new Date(Date.now() + lastsMs).toISOString();
