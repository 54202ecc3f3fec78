import * as z from 'zod';
import { ModelName, Sha256 } from './names.ts';
import { LookRef, RecordedVote, ScoreHistogram, ShadowPlan } from './look.ts';
import { Loss, Stages } from './stage.ts';

/** A rollout as its activities are told of it: pinned at its start. */
export const OpenRollout = z.object({
  model: ModelName,
  version: z.int().positive().describe('The challenger'),
  champion: z.int().positive().optional(),
  stages: Stages,
  project: z.object({ n: z.int(), hash: Sha256 }),
  workflowId: z.string(),
  runId: z.string(),
  by: z.string(),
  reason: z.string().optional(),
  gate: z.string().optional().describe('Key of the look that let the version out of its pipeline'),
  allowUnverified: z.boolean(),
  unit: z.boolean().optional().describe('model.yaml names who is given one answer: rollout.unit'),
  was: z.int().nonnegative().describe('Head of the model when it was planned'),
});
export type OpenRollout = z.infer<typeof OpenRollout>;

/** What `look` gives back, and is given of the look before. */
export const TrialLook = z.object({
  ref: LookRef.optional().describe('Absent: overtaken, and nothing was looked at'),
  line: z.string().describe('Band, maturity and verdict in one line'),
  over: z
    .enum(['overtaken', 'no data', 'inconclusive'])
    .optional()
    .describe('Why the trial cannot go on, whatever the verdict'),
  histogram: ScoreHistogram.optional(),
});
export type TrialLook = z.infer<typeof TrialLook>;

export const PlannedTrial = z.object({ plan: ShadowPlan, ref: LookRef, line: z.string() });
export type PlannedTrial = z.infer<typeof PlannedTrial>;

/** twins/<model>/<version>/<k>.json: the recipe of a version, fitted once more under another seed. Trained once. */
export const TwinRecord = z
  .object({
    model: ModelName,
    version: z.int().positive(),
    k: z.int().positive(),
    seed: z.int(),
    how: z
      .enum(['reseeded', 'weeks drawn again'])
      .describe('A trainer without chance is given its training rows again, whole weeks drawn with replacement'),
    onnx: Sha256,
    testLosses: z.partialRecord(Loss, z.number()).describe('Mean on the test rows of its run'),
    trainedAt: z.iso.datetime(),
  })
  .meta({ id: 'TwinRecord' });
export type TwinRecord = z.infer<typeof TwinRecord>;

/** One of what `prepareTwins` gives back: `testLoss` is of the trial's loss. */
export const Twin = z.object({ seed: z.int(), onnx: Sha256, testLoss: z.number() });
export type Twin = z.infer<typeof Twin>;

/** What `watch` gives back at its end. */
export const Watched = z.object({
  ref: LookRef.optional().describe('Absent: overtaken before the first look'),
  line: z.string(),
  over: z.enum(['overtaken', 'no data', 'inconclusive']).optional(),
});
export type Watched = z.infer<typeof Watched>;

/** Answer of the query `status`. */
export const RolloutStatus = z
  .object({
    model: ModelName,
    version: z.int(),
    champion: z.int().optional(),
    stages: Stages,
    at: z.int().describe('Place of the stage that it is in; -1: planning; the number of stages: done'),
    state: z.enum(['planning', 'running', 'paused', 'waiting', 'undoing', 'ended']),
    revision: z.int().optional(),
    look: LookRef.optional().describe('The newest'),
    awaiting: LookRef.optional().describe('What an approval is about'),
    votes: z.array(RecordedVote),
    refused: z.array(z.string()).describe('Messages that were refused, and why'),
    nextLookAt: z.string().optional(),
    deadline: z.string().optional(),
    lines: z.array(z.string()),
    outcome: z.string().optional(),
  })
  .meta({ id: 'RolloutStatus' });
export type RolloutStatus = z.infer<typeof RolloutStatus>;

/** votes/<model>/<id>.json: a vote, or another word to a rollout, as the API took it from somebody whose key it had checked. */
export const VoteRecord = z
  .object({
    id: z.string(),
    model: ModelName,
    workflowId: z.string(),
    runId: z.string(),
    says: z.enum(['approve', 'reject', 'pause', 'resume', 'advance', 'rollback', 'changePlan']),
    by: z.string(),
    keyId: z.string(),
    reason: z.string(),
    look: z.string().describe('Hash of the look that a vote is on, or nothing'),
    stage: z.record(z.string(), z.unknown()).optional().describe('What changePlan names'),
    at: z.iso.datetime(),
  })
  .meta({ id: 'VoteRecord' });
export type VoteRecord = z.infer<typeof VoteRecord>;

export const Scope = z.enum(['operate', 'approve']);
export type Scope = z.infer<typeof Scope>;

/** keys/<id>.json: an API key; its secret is nowhere. keys/<id>.revoked.json ends it before it expires. */
export const ApiKey = z
  .object({
    id: z.string(),
    name: z.string().min(1).max(200).describe('Whose it is: the `by` of what is done with it'),
    scopes: z.array(Scope).min(1),
    sha256: Sha256.describe('Of the secret, which has 256 random bits'),
    createdAt: z.iso.datetime(),
    expiresAt: z.iso.datetime(),
    createdBy: z.string(),
  })
  .meta({ id: 'ApiKey' });
export type ApiKey = z.infer<typeof ApiKey>;

/** keys/<id>.revoked.json */
export const KeyRevocation = z
  .object({ id: z.string(), at: z.iso.datetime(), by: z.string(), reason: z.string().optional() })
  .meta({ id: 'KeyRevocation' });
export type KeyRevocation = z.infer<typeof KeyRevocation>;
