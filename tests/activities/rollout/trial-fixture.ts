/** A model with two versions, and a prediction log of which everything is known: what was asked, and what came true. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import type { Context } from '../../../activities/context.ts';
import { createLookAtTrial, type TrialTime } from '../../../activities/rollout/look-at-trial.ts';
import { openStores, writeSegment } from '../../../bucket/index.ts';
import { Random } from '../../../numerics/random.ts';
import {
  GraphSpec,
  ShadowStage,
  type Label,
  type NewLogRecord,
  type OpenRollout,
  type ShadowEvidence,
  type ShadowPlan,
  type TrialLook,
} from '../../../schemas/index.ts';
import { blockOf } from '../../../sql/index.ts';
import { register, serve, type Made } from '../../api/serving/fixture.ts';
import * as examples from '../../bucket/examples.ts';
import { answer, DAY_MS, HOUR_MS, label } from '../../sql/log-records.ts';

export const MODEL = 'churn';
/** A Monday. */
export const FROM_MS = Date.UTC(2026, 0, 5);
export const at = (ms: number): string => new Date(ms).toISOString();
export const FROM = at(FROM_MS);
export { DAY_MS, HOUR_MS };

const inputs = {
  visits: { type: 'number', nullable: true },
  plan: { type: 'string', values: ['basic', 'pro'], optional: true },
} as const;

/** P(churns) = 1 / (1 + exp(-slope visits)); a missing number of visits is 0, and one beyond 3e38 / slope not finite. */
const linear = (slope: number): Made => ({
  graph: GraphSpec.parse({ task: 'binary', inputs, derived: {}, maturesAt: 'predicted_at + 7 days' }),
  preprocessing: {
    features: [{ kind: 'number', name: 'visits', fill: 0 }],
  },
  model: { kind: 'linear', task: 'binary', outputs: 1, intercepts: [0], coefficients: [slope] },
  warmUpRows: [{ visits: 1, plan: 'pro' }],
});

/** The champion knows half of the truth, the challenger all of it. */
export const SLOPES = { champion: 0.5, challenger: 1.5 };
export const says = (slope: number, visits: number): number => 1 / (1 + Math.exp(-slope * visits));

export interface Trial {
  context: Context;
  rollout: OpenRollout;
  remove(): Promise<void>;
}

/** Version 1 serves, and version 2 is in a rollout that holds the model. */
export async function openTrial(
  stage: Partial<ShadowStage> = {},
  o: { absent?: 'missing' | 'negative' } = {},
): Promise<Trial> {
  const folder = await mkdtemp(join(tmpdir(), 'gauntlet-trial-'));
  const stores = await openStores({ bucket: `file:${join(folder, 'bucket')}`, home: folder });
  const spec = { ...examples.spec, label: { ...examples.spec.label, absent: o.absent ?? 'missing' } };
  const { hash } = await stores.projects.create({ ...examples.project(examples.sha('3')), model: MODEL, spec });
  for (const slope of [SLOPES.champion, SLOPES.challenger])
    await register(stores, MODEL, linear(slope), { labelsSeenUntil: FROM, asOf: FROM });
  const ids = { workflowId: `rollout-${MODEL}`, runId: 'run-1' };
  await serve(stores, MODEL, { champion: 1 });
  const was = await serve(stores, MODEL, {
    champion: 1,
    holder: `${ids.workflowId}/${ids.runId}`,
    ...(stage.live && { shadows: [{ version: 2, until: at(FROM_MS + DAY_MS) }] }),
  });
  const stages = [ShadowStage.parse({ kind: 'shadow', ...stage })];
  return {
    context: { stores, home: folder, build: { commit: 'x', dirty: false, node: 'x', packages: {} } },
    rollout: {
      model: MODEL,
      version: 2,
      champion: 1,
      stages,
      project: { n: 1, hash },
      ...ids,
      by: 'ana',
      allowUnverified: false,
      was,
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

export const planOf = ({ rollout }: Trial, o: Partial<ShadowPlan> = {}): ShadowPlan => ({
  kind: 'shadow',
  stage: rollout.stages[0] as ShadowStage,
  champion: 1,
  challenger: 2,
  from: FROM,
  loss: 'logLoss',
  minimumEffect: 0.001,
  tightestAt: 16,
  strataEdgesDays: [7],
  logTime: false,
  changed: [],
  ...o,
});

/** One look, as a worker runs it; `scored`: rows that it had to score. */
export async function lookAt(
  { context, rollout }: Trial,
  plan: ShadowPlan,
  nowMs: number,
  o: Partial<TrialTime> = {},
  env = new MockActivityEnvironment(),
): Promise<TrialLook & { scored: number }> {
  let scored = 0;
  env.on('heartbeat', (details: unknown) => {
    scored = (details as { of: number } | undefined)?.of ?? scored;
  });
  const now = at(nowMs);
  const cause = { workflowId: rollout.workflowId, runId: rollout.runId, step: `stage-0-look-${now}` };
  const look = await env.run(
    createLookAtTrial(context).lookAtTrial,
    rollout,
    0,
    plan,
    { now, startedAt: FROM, ...o },
    cause,
  );
  return { ...(look as TrialLook), scored };
}

export async function evidenceOf({ context }: Trial, look: TrialLook): Promise<ShadowEvidence> {
  return (await context.stores.looks.read(look.ref!.key))!.evidence as ShadowEvidence;
}

/** One request of known inputs and outcome. */
export interface Asked {
  id: string;
  eventMs: number;
  maturesMs: number;
  visits: number;
  churned: boolean;
}

/** So many requests a day; half of them mature within days, half within two weeks. */
export function askedOn(day: number, perDay: number): Asked[] {
  const random = new Random(1000 + day);
  return Array.from({ length: perDay }, (_, i) => {
    const eventMs = FROM_MS + day * DAY_MS + Math.floor((i / perDay) * DAY_MS);
    const visits = Math.round((random.float() * 6 - 3) * 1000) / 1000;
    return {
      id: `d${day}-${i}`,
      eventMs,
      maturesMs: eventMs + (i % 2 === 0 ? 2 : 14) * DAY_MS + HOUR_MS,
      visits,
      churned: random.float() < says(SLOPES.challenger, visits),
    };
  });
}

export const answerOf = ({ id, eventMs, maturesMs, visits }: Asked) =>
  answer(id, {
    model: MODEL,
    eventMs,
    answeredMs: eventMs,
    maturesMs,
    inputs: { visits, plan: visits > 0 ? 'pro' : 'basic' },
    output: { scores: [says(SLOPES.champion, visits)], prediction: visits > 0 },
  });

export const labelOf = ({ id, maturesMs, churned }: Asked, o: Partial<Label> = {}) =>
  label(`l-${id}`, { model: MODEL, requestId: id, value: churned, knownMs: maturesMs - HOUR_MS, ...o });

let boots = 0;
/** Uploads records, as a replica would at that time. */
export async function upload({ context }: Trial, records: readonly NewLogRecord[], nowMs: number): Promise<void> {
  const boot = `${String(nowMs).padStart(13, '0')}-${(++boots).toString(16).padStart(8, '0')}`;
  await writeSegment(context.stores.bucket, records, { boot, now: nowMs });
}

/** What a day of traffic leaves in the log: its requests, and the labels that became known on it. */
export async function uploadDay(trial: Trial, day: number, perDay: number): Promise<void> {
  const from = FROM_MS + day * DAY_MS;
  const known = [2, 14]
    .flatMap((ago) => (day - ago < 0 ? [] : askedOn(day - ago, perDay)))
    .filter(({ maturesMs }) => maturesMs - HOUR_MS >= from && maturesMs - HOUR_MS < from + DAY_MS);
  const records = [...askedOn(day, perDay).map(answerOf), ...known.map((one) => labelOf(one))];
  await upload(trial, records, from + DAY_MS - 60_000);
}

export const weekOf = (ms: number): number => blockOf(ms, 'week');
