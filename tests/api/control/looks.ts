import type { Stores } from '../../../bucket/index.ts';
import {
  ApprovalStage,
  CanaryStage,
  ShadowStage,
  type Evidence,
  type Look,
  type Plan,
} from '../../../schemas/index.ts';
import { judge } from '../../../policies/index.ts';
import { MODEL } from './records.ts';

/** Looks as a rollout of version 2 against version 1 leaves them, one a day from 2026-11-10. */

export const RUN_ID = 'a-rollout';
const at = (day: number): string => `2026-11-${day}T00:00:00.000Z`;
const stage = ShadowStage.parse({ kind: 'shadow', minimumEffect: 0.002, worthFinding: 0.05 });

const gate: Evidence = {
  kind: 'gate',
  rows: 1000,
  metrics: {
    auc: 0.8,
    averagePrecision: 0.7,
    logLoss: 0.48,
    brier: 0.16,
    calibrationError: 0.02,
    accuracy: 0.75,
    f1: 0.6,
    confusion: { truePositive: 1, falsePositive: 1, trueNegative: 1, falseNegative: 1 },
    positiveRate: 0.37,
  },
};

export const trialPlan: Plan = {
  kind: 'shadow',
  stage,
  champion: 1,
  challenger: 2,
  from: '2026-07-06T00:00:00.000Z',
  loss: 'logLoss',
  minimumEffect: 0.002,
  tightestAt: 16,
  strataEdgesDays: [],
  logTime: false,
  changed: [],
};

/** Twenty weeks of 100 rows, in each of which the challenger is better by .05 and a little more or less. */
const trial: Evidence = {
  kind: 'shadow',
  asOf: at(12),
  finalBefore: 0,
  maturity: Array.from({ length: 20 }, (_, i) => ({
    block: 2948 + i,
    stratum: 0,
    requests: 100,
    matured: 100,
    labelled: 100,
    early: 0,
    overdue: 0,
    twiceOverdue: 0,
    unscored: 0,
  })),
  cells: Array.from({ length: 20 }, (_, i) => ({
    measure: 'loss',
    block: 2948 + i,
    stratum: 0,
    rows: 100,
    sum: 5 + (i % 2 === 0 ? 0.2 : -0.2),
    sumOfSquares: 1,
  })),
  undated: 0,
  restated: [],
  scores: [],
};

type Written = Awaited<ReturnType<Stores['looks']['create']>>;

export function write(
  stores: Stores,
  day: number,
  plan: Plan,
  evidence: Evidence,
  more: Partial<Look> = {},
): Promise<Written> {
  return stores.looks.create({
    model: MODEL,
    versions: [1, 2],
    kind: plan.kind,
    at: at(day),
    rollout: { workflowId: `rollout-${MODEL}`, runId: RUN_ID, stage: 0 },
    window: { from: at(day - 1), to: at(day) },
    plan,
    revision: 1,
    evidence,
    ...judge(plan, evidence),
    build: 'c0ffee0123456789',
    ...more,
  });
}

/** gate, plan, shadow, approval, canary; and a plan of an earlier rollout, which is none of theirs. */
export async function fillLooks(stores: Stores, model = MODEL): Promise<Record<Look['kind'], Written>> {
  const gatePlan: Plan = { kind: 'gate', metric: 'logLoss', gates: {}, hasShadowStage: true };
  const planning: Plan = { kind: 'plan', stage, champion: 1, challenger: 2, loss: 'logLoss' };
  const planned: Evidence = {
    kind: 'plan',
    on: 'test',
    blocks: 20,
    rowsPerBlock: 100,
    sdOfBlocks: 0.02,
    designEffect: 1,
    effect: 0.05,
    seeds: [],
    minimumEffect: 0.002,
    strata: [{ share: 1, daysToMature: 14 }],
    expectedBlocks: 10,
  };
  const gateLook = await stores.looks.create({
    model,
    versions: [],
    kind: 'gate',
    at: at(10),
    run: `runs/${model}/20261101T000000Z-1.json`,
    window: { from: at(10), to: at(10) },
    plan: gatePlan,
    revision: 1,
    evidence: gate,
    rules: [],
    verdict: { says: 'pass', because: 'the model names no gate rule that applies' },
    build: 'c0ffee0123456789',
  });
  const plan = await write(stores, 11, planning, planned, { model });
  const shadow = await write(stores, 12, trialPlan, trial, { model });
  const approval = await write(
    stores,
    13,
    {
      kind: 'approval',
      stage: ApprovalStage.parse({ kind: 'approval' }),
      allowUnverified: false,
      look: shadow.key,
      sha256: shadow.sha256,
    },
    {
      kind: 'approval',
      askedAt: at(12),
      asOf: at(13),
      expired: false,
      votes: [
        {
          says: 'approve',
          by: 'ana',
          reason: 'slices look right',
          at: at(13),
          channel: 'api',
          verified: true,
          counts: true,
          look: shadow.sha256,
        },
      ],
    },
    { model },
  );
  const canary = await write(
    stores,
    14,
    {
      kind: 'canary',
      stage: CanaryStage.parse({ kind: 'canary', weight: 0.05 }),
      champion: 1,
      challenger: 2,
      alpha: 0.05,
    },
    {
      kind: 'canary',
      since: at(13),
      asOf: at(14),
      watchedMs: 86_400_000,
      canary: {
        units: 1000,
        failures: 2,
        slow: 0,
        attempts: 1000,
        failedAttempts: 2,
        byWhy: { threw: 2 },
        inARow: 1,
        notAsked: 0,
        breakerOpen: 0,
      },
      champion: { units: 19_000, failures: 30, slow: 0 },
      errorsLogE: 0,
      lastAnswerAt: at(14),
    },
    { model },
  );
  await write(stores, 15, planning, planned, {
    model,
    rollout: { workflowId: `rollout-${model}`, runId: 'another', stage: 0 },
  });
  return { gate: gateLook, plan, shadow, approval, canary, bake: canary };
}
