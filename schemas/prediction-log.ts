import * as z from 'zod';
import { ModelName, Sha256 } from './names.ts';
import { RawRow } from './model-version.ts';

/**
 * Records of the prediction log. Each names its kind and its `v`: a reader takes what it knows of a newer record, and a
 * change of meaning is a new `v`. Times are milliseconds since 1970, UTC.
 *
 * A record is counted once: an answer by (model, requestId, row), a shadow score by (model, requestId, row, version), a
 * label by (model, labelId). Of several the first counts, by time and then by boot and seq.
 */
const Written = {
  boot: z.string().describe('One life of one replica'),
  seq: z.int().nonnegative().describe('Gapless within a boot, but for what was shed'),
};

/** A client's own request id, or a UUIDv7 of ours. */
export const RequestId = z
  .string()
  .regex(/^[A-Za-z0-9._:-]{1,128}$/, 'a request id is 1 to 128 letters, digits, dots, colons, underscores and hyphens');

/** How exact a stamp is: `day` came as a calendar date. */
export const Resolution = z.enum(['instant', 'day']);
export type Resolution = z.infer<typeof Resolution>;

export const ScoredOutput = z.object({
  scores: z.array(z.number()).describe('binary: [1]; multiclass: [classes]; regression: [1]'),
  prediction: z.union([z.boolean(), z.string(), z.number()]),
});
export type ScoredOutput = z.infer<typeof ScoredOutput>;

/** Graphs compute in 32 bits: a sane model overflows at such a number, or at none. Who sends one gets no answer, and no model is to blame. */
export const BEYOND_REASON = 2 ** 53;

/** Why a version gave nothing. `died`: its process ended under it. */
export const Failure = z.object({
  version: z.int().positive(),
  why: z.enum(['threw', 'late', 'not-finite', 'died']),
  detail: z.string().max(300),
});
export type Failure = z.infer<typeof Failure>;

/** What a failure says, short enough to be kept. A cut through a character would leave half of it, which is no text. */
export const detailOf = (text: string): string => text.slice(0, 300).toWellFormed();

/** Online features as served (a later issue fills it): which view, which state of it, and how old. */
export const LookedUp = z.record(
  z.string(),
  z.object({ hash: Sha256, ageSeconds: z.number().nullable(), values: RawRow }),
);

export const Assigned = z.enum(['champion', 'canary', 'forced']);
export type Assigned = z.infer<typeof Assigned>;

export const AnswerReason = z
  .enum(['champion', 'canary', 'forced', 'canary-failed', 'breaker-open', 'canary-not-loaded'])
  .describe('Why this version answered');
export type AnswerReason = z.infer<typeof AnswerReason>;

/** One row of one answered request. */
export const Answer = z
  .object({
    kind: z.literal('answer'),
    v: z.literal(1),
    requestId: RequestId,
    row: z.int().nonnegative().describe('Place in the request, from 0'),
    model: ModelName,
    project: z.object({ n: z.int(), hash: Sha256 }),
    revision: z.int().positive(),
    unit: z.string().describe('What was routed by'),
    entity: z.string().optional(),
    eventMs: z.number().describe("The prediction's time: the server's, or the client's where the model allows it"),
    eventBy: z.enum(['server', 'client']),
    eventResolution: Resolution,
    answeredMs: z.number(),
    maturesMs: z.number().nullable().describe('null: it depends on an input that is missing'),
    inputs: RawRow.optional().describe('As they came, personal ones hashed; absent: shed'),
    lookedUp: LookedUp.optional(),
    assigned: Assigned,
    assignedVersion: z.int().positive(),
    version: z.int().positive().describe('What answered'),
    reason: AnswerReason,
    propensity: z.number().min(0).max(1).describe('Probability of the assignment, at the weight in force; forced: 0'),
    output: ScoredOutput.optional().describe('Absent: nothing finite was answered'),
    latencyMs: z.number().describe('From the request to its answer'),
    graphMs: z.number().describe('The run of the graph that it was in'),
    cacheHit: z.boolean(),
    failed: Failure.optional().describe(
      'What failed on the way: the canary; else, where there is no output, the version that was to answer',
    ),
    ...Written,
  })
  .meta({ id: 'Answer' });
export type Answer = z.infer<typeof Answer>;

/** What a shadow said to the same row, or how it failed. One that was dropped leaves no record: the revision says it was due. */
export const ShadowScore = z
  .object({
    kind: z.literal('shadow'),
    v: z.literal(1),
    requestId: RequestId,
    row: z.int().nonnegative(),
    model: ModelName,
    version: z.int().positive(),
    revision: z.int().positive(),
    unit: z.string(),
    entity: z.string().optional(),
    eventMs: z.number(),
    scoredMs: z.number(),
    maturesMs: z.number().nullable(),
    output: ScoredOutput.optional(),
    graphMs: z.number(),
    latencyMs: z.number().describe('From being handed over to its score'),
    failed: Failure.optional(),
    ...Written,
  })
  .meta({ id: 'ShadowScore' });
export type ShadowScore = z.infer<typeof ShadowScore>;

export const LabelValue = z.union([z.boolean(), z.string(), z.number()]);
export type LabelValue = z.infer<typeof LabelValue>;

/**
 * What turned out to be true: of one request, or of an entity at a time. Records never change: a correction is a new
 * label that names the one it supersedes, a withdrawal one without a value.
 */
export const Label = z
  .object({
    kind: z.literal('label'),
    v: z.literal(1),
    labelId: z.string().regex(/^[A-Za-z0-9._:-]{1,128}$/),
    model: ModelName,
    requestId: RequestId.optional(),
    row: z.int().nonnegative().optional().describe('Of the request; absent: 0'),
    entity: z.string().optional(),
    happenedMs: z.number().optional().describe('When the outcome happened'),
    happenedResolution: Resolution.optional(),
    value: LabelValue.nullable().describe('null: withdrawn'),
    knownMs: z.number().describe('When it was known; of a date the next midnight'),
    receivedMs: z.number(),
    supersedes: z.string().optional().describe('labelId'),
    by: z.enum(['feedback', 'import']),
    source: z.string().optional().describe('import: the dataset versions, <name>@<hash>, that it was read from'),
    ...Written,
  })
  .meta({ id: 'Label' });
export type Label = z.infer<typeof Label>;

export const LogRecord = z.discriminatedUnion('kind', [Answer, ShadowScore, Label]);
export type LogRecord = z.infer<typeof LogRecord>;
/** Records as they are appended: the log adds who wrote them, and in which order. */
export type NewAnswer = Omit<Answer, 'boot' | 'seq'>;
export type NewShadowScore = Omit<ShadowScore, 'boot' | 'seq'>;
export type NewLogRecord = NewAnswer | NewShadowScore | Omit<Label, 'boot' | 'seq'>;

/** What many records say alike. */
export type AnswerAlike = Pick<
  Answer,
  'kind' | 'v' | 'model' | 'project' | 'revision' | 'assigned' | 'assignedVersion' | 'version' | 'reason' | 'propensity'
>;
export type ShadowAlike = Pick<ShadowScore, 'kind' | 'v' | 'model' | 'version' | 'revision'>;

/** log/hours/<date>/<hour>/<k>.json: what a closed hour consists of. A successor k + 1 replaces it whole. */
export const HourManifest = z
  .object({
    hour: z.iso.datetime().describe('Its begin'),
    k: z.int().positive(),
    segments: z.array(z.string()).describe('Keys of the raw segments that are in it'),
    models: z
      .record(
        ModelName,
        z.object({
          key: z.string(),
          sha256: Sha256,
          bytes: z.int(),
          answers: z.int(),
          shadowScores: z.int(),
          labels: z.int(),
        }),
      )
      .describe('A model that is not in it has no record in this hour (any more)'),
    broken: z.int().describe('Lines that were not records'),
    because: z.enum(['closed', 'late segments', 'retention', 'erasure']),
    closedAt: z.iso.datetime(),
  })
  .meta({ id: 'HourManifest' });
export type HourManifest = z.infer<typeof HourManifest>;
