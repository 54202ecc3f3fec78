/**
 * The demo's own bookings, scored by models that knew nothing of them: trained as of `split.asOf` by the pipeline's own
 * activities, on the rows booked from then on. Kept under .gauntlet/bench, by what they are made of.
 */
import { MockActivityEnvironment } from '@temporalio/testing';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deserialize, serialize } from 'node:v8';
import { createPipelineActivities, createTrainingActivities } from '../../activities/index.ts';
import { readPlan } from '../../activities/pipeline/plan.ts';
import { loadRows, takeRows } from '../../activities/pipeline/rows.ts';
import { graphOf, scoreRows } from '../../activities/pipeline/score.ts';
import { readObject } from '../../activities/pipeline/sealed.ts';
import { knownWhen, readSplit } from '../../activities/pipeline/split.ts';
import type { SealedEvaluation } from '../../activities/pipeline/evaluate.ts';
import { applyProject } from '../../activities/project/apply.ts';
import { readProjectFolder } from '../../activities/project/read-folder.ts';
import { openStores } from '../../bucket/index.ts';
import type { BinaryMetrics } from '../../schemas/index.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const PROJECT = 'examples/hotel-cancellations';
const MADE_OF = [
  PROJECT,
  'numerics/boosting',
  'numerics/linear',
  'onnx',
  'policies/split.ts',
  'bench/support/bookings.ts',
];
const UNTIL = Date.UTC(2017, 2, 1) / 1000;

/** Overrides of model.yaml. Its own seed is 7. */
export const RECIPES = {
  linear: { training: { algorithm: 'linear' } },
  boosting: {},
  'boosting, seed 8': { 'training.seed': 8 },
  'boosting, seed 9': { 'training.seed': 9 },
} as const;
export type Recipe = keyof typeof RECIPES;

export interface ScoredBookings {
  /** Rows booked from asOf to the end of February 2017, in the order of their booking. Times in seconds since 1970. */
  bookedAt: Float64Array;
  maturesAt: Float64Array;
  /** When it was known what became of the booking. */
  knownAt: Float64Array;
  cancelled: Float64Array;
  leadDays: Float64Array;
  /** [rows] probability of each model as it would serve: fitted again on all that had matured at asOf. */
  scores: Record<Recipe, Float64Array>;
  /** Log-loss of the first fit on the test part, by which twins are compared. */
  testLogLoss: Record<Recipe, number>;
  strataEdgesDays: number[];
  asOf: number;
}

export async function scoredBookings(say: (line: string) => void): Promise<ScoredBookings> {
  const folder = join(root, '.gauntlet/bench');
  await mkdir(folder, { recursive: true });
  const file = join(folder, `bookings-${await madeOf(MADE_OF)}.bin`);
  const kept = await readFile(file).catch(() => undefined);
  if (kept) return deserialize(kept) as ScoredBookings;
  const home = await mkdtemp(join(folder, 'training-'));
  try {
    const scored = await score(home, say);
    await writeFile(`${file}.part`, serialize(scored));
    await rename(`${file}.part`, file);
    return scored;
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

async function score(home: string, say: (line: string) => void): Promise<ScoredBookings> {
  const stores = await openStores({ bucket: `file:${join(home, 'bucket')}`, home });
  const context = { stores, home, build: { commit: 'unknown', dirty: false, node: process.version, packages: {} } };
  const steps = { ...createPipelineActivities(context), ...createTrainingActivities(context) };
  const environment = new MockActivityEnvironment();
  const run = <Args extends unknown[], Result>(step: (...args: Args) => Promise<Result>, ...args: Args) =>
    environment.run<Args, Result, typeof step>(step, ...args);
  const now = new Date();
  const applied = { by: 'bench', dryRun: false, now };
  const { model } = await applyProject(stores, await readProjectFolder(join(root, PROJECT)), applied);

  let bookings: Omit<ScoredBookings, 'scores' | 'testLogLoss'> | undefined;
  const scores: Partial<Record<Recipe, Float64Array>> = {};
  const testLogLoss: Partial<Record<Recipe, number>> = {};
  for (const [recipe, overrides] of Object.entries(RECIPES) as [Recipe, Record<string, unknown>][]) {
    const question = { model, run: recipe.replaceAll(/\W+/g, '-'), now: now.toISOString(), overrides };
    const ref = await run(steps.planRun, question);
    const { datasets } = await run(steps.ingest, ref, now.toISOString());
    const sealed = await run(steps.sealTrainingRows, ref, datasets);
    const { split } = await run(steps.splitTrainingRows, ref, sealed);
    const head = await run(steps.fitHead, ref, sealed, split, 'first');
    const first = await run(steps.train, ref, sealed, split, head.preprocessing, 'first');
    const { evaluation, line } = await run(steps.evaluate, ref, sealed, split, first, undefined);
    say(`${recipe}: ${line}`);
    const { candidate } = await readObject<SealedEvaluation>(stores, evaluation);
    testLogLoss[recipe] = (candidate.find(({ on }) => on === 'test')!.metrics as BinaryMetrics).logLoss;
    const again = await run(steps.fitHead, ref, sealed, split, 'refit');
    const served = await run(steps.train, ref, sealed, split, again.preprocessing, 'refit', first.rounds);

    const { spec, graph } = await readPlan(context, ref);
    const all = await loadRows(context, sealed, spec, graph);
    const asOf = Date.parse(ref.asOf) / 1000;
    const later = Array.from({ length: all.rows }, (_, i) => i)
      .filter((i) => all.predictedAt[i]! >= asOf && all.predictedAt[i]! < UNTIL)
      .sort((a, b) => all.predictedAt[a]! - all.predictedAt[b]! || a - b);
    const rows = takeRows(all, later);
    bookings ??= {
      bookedAt: rows.predictedAt,
      maturesAt: rows.maturesAt,
      knownAt: knownWhen(rows),
      cancelled: rows.label as Float64Array,
      leadDays: Float64Array.from(rows.inputs.columns['lead_time']!, Number),
      strataEdgesDays: (await readSplit(context, split)).report.strataEdgesDays,
      asOf,
    };
    const graphBytes = await graphOf(context, spec, served);
    scores[recipe] = (await scoreRows(graphBytes, graph.inputs, rows.inputs, rows.predictedAt))[0]!;
  }
  return {
    ...bookings!,
    scores: scores as ScoredBookings['scores'],
    testLogLoss: testLogLoss as ScoredBookings['testLogLoss'],
  };
}

/** Hash of the files in these folders, names and bytes. */
async function madeOf(paths: string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const path of paths) {
    const names = path.endsWith('.ts') ? [''] : (await readdir(join(root, path), { recursive: true })).toSorted();
    for (const name of names) {
      const bytes = await readFile(join(root, path, name)).catch(() => undefined); // a folder has none
      if (bytes) hash.update(`${path}/${name}\0${bytes.length}\0`).update(bytes);
    }
  }
  return hash.digest('hex').slice(0, 12);
}
