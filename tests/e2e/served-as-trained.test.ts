import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadRows, takeRows, type DerivedRows } from '../../activities/pipeline/rows.ts';
import { rawRow } from '../../activities/pipeline/register.ts';
import type { ServingApp } from '../../api/serving.ts';
import { scoresOf, type TrainedModel } from '../../numerics/index.ts';
import { buildHead, decodeRows, featureMatrix } from '../../onnx/index.ts';
import { graphSpec, type BinaryMetrics, type ModelVersion, type Preprocessing, type Run } from '../../schemas/index.ts';
import { startServing } from '../api/serving/fixture.ts';
import { startInProcess, type InProcess } from './in-process.ts';

const BATCH = 1000;

describe('the hotel example, trained and served', () => {
  let gauntlet: InProcess;
  let serving: ServingApp;
  let run: Run;
  let version: ModelVersion;
  beforeAll(async () => {
    gauntlet = await startInProcess();
    await gauntlet.apply(fileURLToPath(new URL('../../examples/hotel-cancellations', import.meta.url)));
    const result = await gauntlet.train({ model: 'hotel-cancellations', promote: true });
    await gauntlet.env.client.workflow.getHandle('rollout-hotel-cancellations').result();
    run = (await gauntlet.stores.runs.read('hotel-cancellations', result.run))!;
    version = (await gauntlet.stores.versions.read('hotel-cancellations', result.version!))!;
    serving = await startServing(gauntlet.stores);
  }, 600_000);
  afterAll(async () => {
    await serving?.stop();
    await gauntlet?.stop();
  });

  it('has learnt from the 38,135 bookings that had matured, and beats the linear baseline on those that came after', () => {
    expect(run.split!.matured).toBe(38_135);
    const on = (reports: Run['metrics']) => reports.find((report) => report.on === 'backtest')!;
    const [ours, linear] = [on(run.metrics), on(run.baseline)];
    expect(ours.rows).toBe(33_877);
    const { auc, logLoss } = ours.metrics as BinaryMetrics;
    expect(auc).toBeGreaterThanOrEqual(0.803);
    expect(logLoss).toBeLessThanOrEqual(0.492);
    expect((linear.metrics as BinaryMetrics).logLoss - logLoss).toBeGreaterThanOrEqual(0.005);
  });

  it('gives over REST, for the whole held-out set, what the training code gives', async () => {
    const { stores } = gauntlet;
    const read = async <T>(name: string) =>
      JSON.parse(new TextDecoder().decode(await stores.objects.read(run.artefacts[name]!))) as T;
    const { spec } = (await stores.projects.at(run.model, run.project.n))!;
    const graph = graphSpec(spec);
    const context = { stores, home: gauntlet.folder, build: run.build };
    const { test } = await read<{ test: number[] }>('split.json');
    const rows = takeRows(await loadRows(context, run.rows!, spec, graph), test);
    expect(rows.rows).toBe(7486);

    const [preprocessing, model] = await Promise.all([
      read<Preprocessing>('preprocessing.json'),
      read<TrainedModel>('trained-model.json'),
    ]);
    const features = await featureMatrix(buildHead(graph, preprocessing), graph, rows.inputs, rows.predictedAt);
    const trained = scoresOf(model, features)[0]!;

    const served = await probabilities(rows);
    let furthest = 0;
    for (let i = 0; i < rows.rows; i++) furthest = Math.max(furthest, Math.abs(served[i]! - trained[i]!));
    process.stdout.write(
      `${rows.rows} held-out rows over REST: furthest from the training code ${furthest.toExponential(1)}\n`,
    );
    expect(furthest).toBeLessThanOrEqual(1e-6);
  });

  it('keeps rows in the version that the API accepts', () => {
    expect(decodeRows(version.inputs, version.warmUpRows).ok).toBe(true);
    expect(version.warmUpRows.length).toBe(16);
  });

  async function probabilities(rows: DerivedRows): Promise<number[]> {
    const all: number[] = [];
    for (let from = 0; from < rows.rows; from += BATCH) {
      const indices = Array.from({ length: Math.min(BATCH, rows.rows - from) }, (_, i) => from + i);
      const response = await serving.app.request('/v1/models/hotel-cancellations/predict', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ rows: indices.map((i) => rawRow(version.inputs, rows, i)) }),
      });
      const answer = (await response.json()) as { predictions?: { probability: number }[] };
      expect(response.status, JSON.stringify(answer)).toBe(200);
      all.push(...answer.predictions!.map(({ probability }) => probability));
    }
    return all;
  }
});
