import * as z from 'zod';
import { ColumnName, ModelName, RESERVED_NAMES } from './names.ts';
import { didYouMean } from './nearest.ts';
import { piiContradictions } from './personal.ts';
import { Stages, type Loss } from './stage.ts';
import { Duration, Instant } from './time.ts';

export const Task = z.enum(['binary', 'multiclass', 'regression']);
export type Task = z.infer<typeof Task>;

export const Source = z
  .strictObject({
    file: z.string().min(1).describe('Parquet, CSV or NDJSON (.gz too) inside the project folder'),
    knownAt: ColumnName.optional().describe('Column that says when a row became known'),
    knownLater: z
      .array(ColumnName)
      .default([])
      .describe('Columns that are set or changed after the row became known: never inputs'),
    pii: z.array(ColumnName).default([]).describe('Personal columns: no message and no record shows a value of them'),
  })
  .meta({ id: 'Source', description: 'Where raw data comes from. One table of the same name in rows.sql.' });
export type Source = z.infer<typeof Source>;

const inputBase = {
  nullable: z.boolean().default(false).describe('May be null: then the graph imputes it'),
  optional: z.boolean().default(false).describe('May be left out of a request: then the graph imputes it'),
  feature: z.boolean().default(true).describe('false: only derived columns use it'),
  description: z.string().optional(),
};
const NumberInput = z.strictObject({
  type: z.enum(['number', 'integer']),
  min: z.number().optional(),
  max: z.number().optional(),
  impute: z.enum(['median', 'none']).default('median').describe('none: trees learn which way a missing value goes'),
  ...inputBase,
});
const BooleanInput = z.strictObject({
  type: z.literal('boolean'),
  impute: z.enum(['mostFrequent', 'none']).default('mostFrequent'),
  ...inputBase,
});
const StringInput = z.strictObject({
  type: z.literal('string'),
  values: z.array(z.string()).min(1).optional().describe('The only values allowed'),
  maxLength: z.int().positive().default(200),
  impute: z.enum(['mostFrequent', 'none']).default('mostFrequent').describe('none: missing is a category of its own'),
  pii: z.boolean().default(false).describe('Personal: graph, samples and log know only its keyed hash'),
  ...inputBase,
});
const DateInput = z.strictObject({
  type: z.enum(['date', 'timestamp']),
  min: Instant.optional(),
  max: Instant.optional(),
  ...inputBase,
  feature: z.literal(false).default(false).describe('A date is never a feature by itself: derive its parts'),
});

export const Input = z
  .discriminatedUnion('type', [NumberInput, BooleanInput, StringInput, DateInput])
  .meta({ id: 'Input', description: 'One raw input: what a request must give and a training row has.' });
export type Input = z.infer<typeof Input>;

/** Inputs by name; their order is the order in the graph. */
export const InputSchema = z.record(ColumnName, Input);
export type InputSchema = z.infer<typeof InputSchema>;

const on = ColumnName.optional().describe('Source that it is about; may be left out where there is only one');
export const Expectation = z
  .discriminatedUnion('expect', [
    z.strictObject({ expect: z.literal('exists'), on, column: ColumnName }),
    z.strictObject({ expect: z.literal('not_null'), on, column: ColumnName }),
    z.strictObject({ expect: z.literal('unique'), on, column: ColumnName }),
    z.strictObject({
      expect: z.literal('between'),
      on,
      column: ColumnName,
      min: z.union([z.number(), z.string()]).optional(),
      max: z.union([z.number(), z.string()]).optional(),
    }),
    z.strictObject({
      expect: z.literal('in_set'),
      on,
      column: ColumnName,
      values: z.array(z.union([z.string(), z.number(), z.boolean()])).min(1),
    }),
    z.strictObject({
      expect: z.literal('row_count_between'),
      on,
      min: z.int().nonnegative().optional(),
      max: z.int().nonnegative().optional(),
    }),
  ])
  .meta({
    id: 'Expectation',
    description: 'What must be true of a source before anything is trained on it. Nulls pass all but not_null.',
  });
export type Expectation = z.infer<typeof Expectation>;

export const Split = z.strictObject({
  asOf: Instant.optional().describe('Only what was known then is used; default: the start of the run'),
  valid: z
    .number()
    .gt(0)
    .lt(0.5)
    .default(0.1)
    .describe('Share of matured rows, after train, that early stopping and the threshold see'),
  test: z
    .number()
    .gt(0)
    .lt(0.5)
    .default(0.2)
    .describe('Share of matured rows, the last to mature, that nothing sees before evaluation'),
  gap: Duration.default('0 days').describe(
    'Training rows that matured less than this before the first validation row are dropped; the window of the label where an entity has several rows',
  ),
  refit: z.boolean().default(true).describe('After the gate passes, fit the same recipe on all matured rows'),
});
export type Split = z.infer<typeof Split>;

export const Backtest = z.strictObject({
  until: Instant.describe('Rows predicted from asOf to before this are scored'),
  where: z.string().optional().describe('SQL condition over the columns of rows.sql'),
});
export type Backtest = z.infer<typeof Backtest>;

export const GradientBoosting = z.strictObject({
  algorithm: z.literal('gradientBoosting'),
  trees: z.int().min(1).max(10_000).default(500).describe('Most rounds; a multiclass round is one tree per class'),
  maxDepth: z.int().min(1).max(12).default(6),
  learningRate: z.number().gt(0).max(1).default(0.05),
  subsample: z.number().gt(0).max(1).default(0.8).describe('Share of rows drawn for each round'),
  columnSample: z.number().gt(0).max(1).default(1).describe('Share of features drawn for each tree'),
  minChildWeight: z.number().min(0).default(1).describe('Smallest sum of hessians in a leaf'),
  minChildRows: z.int().min(1).default(20),
  l2: z.number().min(0).default(1),
  maxBins: z.int().min(2).max(255).default(255),
  earlyStoppingRounds: z
    .int()
    .min(0)
    .default(20)
    .describe('Stop when validation loss has not improved for this many rounds; 0: never'),
  seed: z.int().min(0).default(7),
});
export type GradientBoosting = z.infer<typeof GradientBoosting>;

export const Linear = z.strictObject({
  algorithm: z.literal('linear'),
  l2: z.number().min(0).default(1).describe('Ridge penalty on the sum of losses; intercepts are not penalised'),
  maxIterations: z.int().min(1).default(200),
  seed: z.int().min(0).default(7),
});
export type Linear = z.infer<typeof Linear>;

export const Training = z.discriminatedUnion('algorithm', [GradientBoosting, Linear]);
export type Training = z.infer<typeof Training>;

export const Decision = z.union([
  z.strictObject({ threshold: z.number().gt(0).lt(1) }),
  z.strictObject({
    costs: z.strictObject({
      falsePositive: z.number().min(0),
      falseNegative: z.number().min(0),
    }),
  }),
  z.strictObject({ best: z.enum(['f1', 'accuracy']) }),
]);
export type Decision = z.infer<typeof Decision>;

export const METRICS = {
  binary: ['auc', 'averagePrecision', 'logLoss', 'brier', 'calibrationError', 'f1', 'accuracy'],
  multiclass: ['accuracy', 'macroF1', 'logLoss'],
  regression: ['rmse', 'mae', 'r2'],
} as const;
/** Metrics of which less is better. */
export const LOWER_IS_BETTER: readonly string[] = ['logLoss', 'brier', 'calibrationError', 'rmse', 'mae'];
export const PRIMARY_METRIC = { binary: 'logLoss', multiclass: 'logLoss', regression: 'rmse' } as const;

export const MetricName = z.enum([
  'auc',
  'averagePrecision',
  'logLoss',
  'brier',
  'calibrationError',
  'f1',
  'accuracy',
  'macroF1',
  'rmse',
  'mae',
  'r2',
]);
export type MetricName = z.infer<typeof MetricName>;

export const Gates = z.strictObject({
  atLeast: z
    .partialRecord(MetricName, z.number())
    .optional()
    .describe('Limits on test metrics; a metric of which less is better must be at most its limit'),
  beatsBaseline: z
    .strictObject({
      by: z.number().default(0).describe('How much better the primary metric must be than the linear baseline'),
    })
    .optional(),
  notWorseThanChampion: z
    .strictObject({
      margin: z.number().min(0).default(0).describe('How much worse the primary metric may be'),
      minRows: z
        .int()
        .positive()
        .default(1000)
        .describe('Rows that neither model has seen, below which the question is left to the trial'),
    })
    .optional(),
});
export type Gates = z.infer<typeof Gates>;

export const Evaluation = z.strictObject({
  metric: MetricName.optional().describe('Primary metric; default logLoss for classes, rmse for regression'),
  slices: z.array(ColumnName).default([]).describe('Inputs or derived columns whose values make slices'),
  minSliceRows: z.int().positive().default(50),
  gates: Gates.default({}),
});
export type Evaluation = z.infer<typeof Evaluation>;

export const Rollout = z.strictObject({
  unit: ColumnName.optional().describe(
    'Field of a request that traffic is split by, so that one user always meets the same version; default the request id',
  ),
  unitPii: z.boolean().default(false).describe('The unit is personal: only its keyed hash is kept'),
  stages: Stages.default([]).describe('Empty: a version is served at once. The first version of a model always is'),
});

/** What the label is, and when it is there. */
export const LabelSpec = z
  .strictObject({
    event: z.string().min(1).optional().describe('The outcome, in words: the booking is cancelled'),
    window: Duration.optional().describe('The outcome counts if it happens within this after the prediction'),
    absent: z
      .enum(['missing', 'negative', 'positive'])
      .default('missing')
      .describe(
        'What it means that no label has come once the row has matured. missing: it is overdue. negative or positive: silence is an answer, because only the other one is ever reported (churn, fraud)',
      ),
    knownAt: ColumnName.default('known_at').describe(
      'Column of rows.sql, and of the SQL that imports labels, that says when the outcome was known',
    ),
    maturesAt: z
      .string()
      .optional()
      .describe(
        'When the label is final whatever it is: an expression over inputs and predicted_at; default predicted_at + window, or predicted_at without a window',
      ),
    affectedByPrediction: z
      .boolean()
      .default(false)
      .describe('The prediction changes the outcome (a declined loan): then a shadow trial proves nothing'),
    import: z
      .strictObject({
        sql: z
          .string()
          .default('labels.sql')
          .describe('One SELECT over the sources: entity, happened_at, label, known_at'),
        every: Duration.default('1 day'),
      })
      .optional()
      .describe('Labels that come from a source, on a schedule'),
  })
  .transform(({ maturesAt, ...label }) => ({
    ...label,
    maturesAt: maturesAt ?? (label.window === undefined ? 'predicted_at' : `predicted_at + ${label.window}`),
  }));
export type LabelSpec = z.infer<typeof LabelSpec>;

export const ModelSpec = z
  .strictObject({
    apiVersion: z.literal('gauntlet/v1'),
    name: ModelName,
    owner: z.string().min(1),
    description: z.string().min(1),
    intendedUse: z.string().optional(),
    outOfScope: z.string().optional(),
    task: Task,
    sources: z
      .record(ColumnName, Source)
      .refine((sources) => Object.keys(sources).length > 0, 'name at least one source'),
    rows: z.strictObject({
      sql: z
        .string()
        .default('rows.sql')
        .describe('One SELECT over the sources that gives entity, predicted_at, label, known_at and the inputs'),
      entity: ColumnName.describe('Name of the entity key in requests and answers'),
      entityPii: z.boolean().default(false).describe('The entity key is personal: only its keyed hash is kept'),
    }),
    label: LabelSpec.prefault({}),
    expectations: z.array(Expectation).default([]),
    inputs: InputSchema.refine((inputs) => Object.keys(inputs).length > 0, 'name at least one input'),
    derived: z
      .record(ColumnName, z.string().min(1))
      .default({})
      .describe('Features made from inputs by an expression, such as month(arrival_date)'),
    split: Split.prefault({}),
    backtest: Backtest.optional(),
    training: Training.prefault({ algorithm: 'gradientBoosting' }),
    decision: Decision.optional(),
    evaluation: Evaluation.prefault({}),
    rollout: Rollout.prefault({}),
    serving: z
      .strictObject({
        allowEventTime: z
          .boolean()
          .default(false)
          .describe('A request may say when it happened (header x-gauntlet-event-time): for replaying, and demos'),
        deadlineMs: z
          .int()
          .positive()
          .optional()
          .describe('How long a canary may take; default the larger of 50 and twice the p99 of the champion'),
      })
      .prefault({}),
    retention: z
      .strictObject({ logDays: z.int().positive().optional().describe('Days that the log is kept; default for ever') })
      .prefault({}),
  })
  .superRefine((spec, context) => {
    const problem = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message });
    for (const name of Object.keys(spec.inputs)) {
      if (RESERVED_NAMES.includes(name))
        problem(['inputs', name], `${name} is a reserved name: call the input something else`);
      for (const [source, { knownLater }] of Object.entries(spec.sources))
        if (knownLater.includes(name))
          problem(
            ['inputs', name],
            `${name} is known only later (sources.${source}.knownLater), so it cannot be an input: it would leak the outcome`,
          );
    }
    for (const name of Object.keys(spec.derived))
      if (name in spec.inputs || RESERVED_NAMES.includes(name))
        problem(['derived', name], `${name} is taken: derived columns need names of their own`);
    const sources = Object.keys(spec.sources);
    spec.expectations.forEach((expectation, i) => {
      if (expectation.on === undefined ? sources.length > 1 : !sources.includes(expectation.on))
        problem(['expectations', i, 'on'], `name one of the sources: ${sources.join(', ')}`);
    });
    const metrics: readonly string[] = METRICS[spec.task];
    for (const name of Object.keys(spec.evaluation.gates.atLeast ?? {}))
      if (!metrics.includes(name))
        problem(
          ['evaluation', 'gates', 'atLeast', name],
          `a ${spec.task} model has no ${name}; it has ${metrics.join(', ')}`,
        );
    if (spec.evaluation.metric && !metrics.includes(spec.evaluation.metric))
      problem(
        ['evaluation', 'metric'],
        `a ${spec.task} model has no ${spec.evaluation.metric}; it has ${metrics.join(', ')}`,
      );
    for (const [i, slice] of spec.evaluation.slices.entries())
      if (!(slice in spec.inputs) && !(slice in spec.derived))
        problem(
          ['evaluation', 'slices', i],
          `an input or a derived column.${didYouMean(slice, [...Object.keys(spec.inputs), ...Object.keys(spec.derived)])}`,
        );
    for (const { path, message } of piiContradictions(spec)) problem(path, message);
    if (spec.label.absent !== 'missing' && spec.task !== 'binary')
      problem(['label', 'absent'], 'only a binary label can be known by its absence');
    if (spec.decision && spec.task !== 'binary') problem(['decision'], 'only a binary model has a decision');
    if (spec.split.valid + spec.split.test >= 0.9)
      problem(['split'], 'valid and test together leave less than a tenth of the rows for training');
    const hasFeature =
      Object.keys(spec.derived).length > 0 || Object.values(spec.inputs).some((input) => input.feature);
    if (!hasFeature) problem(['inputs'], 'no input is a feature: derive columns from the dates, or add inputs');
    for (const { path, message } of stageContradictions(spec)) problem(['rollout', 'stages', ...path], message);
  })
  .meta({ id: 'ModelSpec', description: 'model.yaml: everything that describes one model.' });
export type ModelSpec = z.infer<typeof ModelSpec>;

/** What stages ask of a model that its description does not give. */
export function stageContradictions(
  spec: Pick<ModelSpec, 'task' | 'inputs' | 'label' | 'rollout'>,
): { path: (string | number)[]; message: string }[] {
  const problems: { path: (string | number)[]; message: string }[] = [];
  const losses: readonly Loss[] = LOSSES[spec.task];
  spec.rollout.stages.forEach((stage, i) => {
    if (stage.kind !== 'shadow') return;
    const problem = (path: (string | number)[], message: string) => problems.push({ path: [i, ...path], message });
    if (spec.label.affectedByPrediction)
      problem(
        ['kind'],
        'label.affectedByPrediction is true, so what a shadow would have said proves nothing: leave the stage out',
      );
    if (stage.loss && !losses.includes(stage.loss))
      problem(['loss'], `${stage.loss} is no loss of a ${spec.task} model, which has ${losses.join(', ')}`);
    stage.guardrails.forEach(({ on }, k) => {
      const fits = on === 'calibration' || on === 'calibrationSlope' ? spec.task === 'binary' : losses.includes(on);
      if (!fits) problem(['guardrails', k, 'on'], `${on} is none of a ${spec.task} model`);
    });
    stage.slices.forEach(({ column }, k) => {
      if (!spec.inputs[column])
        problem(['slices', k, 'column'], `there is no input ${column}.${didYouMean(column, Object.keys(spec.inputs))}`);
    });
  });
  return problems;
}

/** Losses that a trial can be about; the first is the default. */
export const LOSSES = {
  binary: ['logLoss', 'brier'],
  multiclass: ['logLoss', 'brier'],
  regression: ['squaredError', 'absoluteError'],
} as const satisfies Record<Task, readonly Loss[]>;

export function primaryMetric(spec: Pick<ModelSpec, 'task' | 'evaluation'>): MetricName {
  return spec.evaluation.metric ?? PRIMARY_METRIC[spec.task];
}
