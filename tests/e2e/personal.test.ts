import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import pino from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Context } from '../../activities/context.ts';
import { createLookAtGate } from '../../activities/pipeline/evaluate.ts';
import type { PlanRef } from '../../activities/pipeline/plan.ts';
import { createRegister, type FinishedParts } from '../../activities/pipeline/register.ts';
import { loadRows } from '../../activities/pipeline/rows.ts';
import { createServing } from '../../api/serving.ts';
import { openPredictionLog } from '../../bucket/index.ts';
import { decodeRows, openModel, piiHasher } from '../../onnx/index.ts';
import {
  graphSpec,
  UserError,
  type GateEvidence,
  type Look,
  type ModelVersion,
  type RawRow,
  type Run,
  type SealedRows,
} from '../../schemas/index.ts';
import { post } from '../api/serving/fixture.ts';
import { recordsOf } from '../api/serving/log-records.ts';
import { expectGoldenError } from '../golden/errors.ts';
import { findInFiles } from './find-in-files.ts';
import { failureOf, startInProcess, type InProcess } from './in-process.ts';
import { visits, writeSmallProject } from './small-project.ts';

const PII = piiHasher('a secret of text, 30 bytes long')!;
const OTHER = piiHasher('another secret, as long as that')!;
/** Stand in every personal value, and nowhere else. */
const MARKS = ['@secret-mail', 'visitor-key-', '+351 91'];

/** The visits with an e-mail address that says something, a telephone number that says nothing, and another key. */
const CSV = visits(1500)
  .trimEnd()
  .split('\n')
  .map((line, i) => {
    if (i === 0) return `${line},email,phone`;
    const pages = Number(line.split(',')[2]);
    const [id, ...rest] = line.split(',');
    return [`visitor-key-${id}`, ...rest, `guest${Math.floor(pages / 4)}@secret-mail.example`, `+351 91${i}`].join(',');
  })
  .join('\n');
const SQL = `SELECT visit_id AS entity, visited_on AS predicted_at, bought AS label, visited_on + 7 AS seen_at, spent, email, visited_on FROM visits`;
const SPEC = {
  sources: { visits: { file: 'visits.csv', knownAt: 'visited_on', pii: ['phone'] } },
  rows: { entity: 'visit_id', entityPii: true },
  label: { event: 'the visit ends in a purchase', window: '7 days', absent: 'negative', knownAt: 'seen_at' },
  expectations: [{ expect: 'unique', column: 'visit_id' }],
  inputs: {
    spent: { type: 'number', min: 0, max: 10_000, nullable: true },
    email: { type: 'string', pii: true },
    visited_on: { type: 'date' },
  },
  rollout: { unit: 'session', unitPii: true },
  serving: { allowEventTime: true, deadlineMs: 80 },
  evaluation: { slices: ['email'], gates: { notWorseThanChampion: {} } },
};

/** Mistakes whose texts would like to quote the data. */
const WRONG = {
  'personal-expectation': {
    spec: {
      ...SPEC,
      expectations: [
        { expect: 'unique', column: 'email' },
        { expect: 'in_set', column: 'phone', values: ['none'] },
        { expect: 'between', column: 'visit_id', max: 'a' },
        { expect: 'between', column: 'pages', max: 38 },
      ],
    },
  },
  'personal-cast': { spec: SPEC, sql: SQL.replace(' spent,', ' email::DOUBLE AS spent,') },
  'personal-csv': { spec: SPEC, csv: CSV.replace(/^(visitor-key-150,.*)$/m, '$1,one,too,many') },
  'personal-limits': {
    spec: { ...SPEC, inputs: { ...SPEC.inputs, email: { type: 'string', pii: true, maxLength: 9 } } },
  },
};

describe('a model with personal values', () => {
  let gauntlet: InProcess;
  let context: Context;
  let run: Run;
  let version: ModelVersion;
  const projects: string[] = [];
  const write = (name: string, o: { spec: object; sql?: string; csv?: string }) => {
    projects.push(name);
    return writeSmallProject(join(gauntlet.folder, name), {
      csv: CSV,
      sql: SQL,
      ...o,
      name,
      spec: o.spec as Record<string, unknown>,
    });
  };

  beforeAll(async () => {
    gauntlet = await startInProcess({ pii: PII });
    context = {
      stores: gauntlet.stores,
      home: gauntlet.folder,
      build: { commit: 'tests' } as Context['build'],
      pii: PII,
    };
    await gauntlet.apply(await write('personal', { spec: SPEC }));
    const result = await gauntlet.train({ model: 'personal', promote: true });
    if (result.outcome !== 'registered') throw new Error(result.because);
    await gauntlet.env.client.workflow.getHandle('rollout-personal').result();
    run = (await gauntlet.stores.runs.read('personal', result.run))!;
    version = (await gauntlet.stores.versions.read('personal', result.version!))!;
  });
  afterAll(() => gauntlet?.stop());

  it('is registered with what serving has to know', () => {
    expect(version.serving).toEqual({
      unit: 'session',
      unitPii: true,
      entityPii: true,
      piiKey: PII.fingerprint,
      allowEventTime: true,
      deadlineMs: 80,
    });
    for (const row of version.warmUpRows) expect(row['email']).toMatch(/^pii:[0-9a-f]{32}$/);
    expect(version.referenceHistograms['email']).toMatchObject({
      kind: 'category',
      values: expect.arrayContaining([PII.hash('guest3@secret-mail.example')]) as string[],
    });
  });

  it('answers a raw row, its hashed row from the log, and its sealed row with the same score', async () => {
    const raw: RawRow[] = CSV.split('\n')
      .slice(1)
      .map((line) => line.split(','))
      .map(([, visited_on, , spent, , , email]) => ({
        visited_on: visited_on!,
        spent: spent === '' ? null : Number(spent),
        email: email!,
      }));
    const hashed = raw.map((row) => ({ ...row, email: PII.hash(row['email'] as string) }));
    const scores = await Promise.all(
      [
        decodeRows(version.inputs, raw, { personal: PII }),
        decodeRows(version.inputs, hashed, { personal: 'hashed' }),
      ].map(async (decoded) => {
        if (!decoded.ok) throw new Error(JSON.stringify(decoded.issues));
        return score(decoded.columns);
      }),
    );
    expect(scores[1]).toEqual(scores[0]);

    const { spec } = (await gauntlet.stores.projects.at('personal', 1))!;
    const sealed = await loadRows(context, run.rows!, spec, graphSpec(spec));
    const asSealed = await score(sealed.inputs, sealed.predictedAt);
    const byEntity = new Map(sealed.entity.map((entity, i) => [entity, asSealed[i]]));
    raw.forEach((_, i) => expect(byEntity.get(PII.hash(`visitor-key-${i + 1}`))).toBe(scores[0]![i]));

    // The hash carries what the value said: who reads 36 pages buys more often than who reads none.
    const of = (email: string) => scores[0]![raw.findIndex((row) => row['email'] === email)]!;
    expect(of('guest9@secret-mail.example') - of('guest0@secret-mail.example')).toBeGreaterThan(0.3);
  });

  for (const [name, project] of Object.entries(WRONG))
    it(`(${name}) is told without a value`, async () => {
      await gauntlet.apply(await write(name, project));
      const error = await expectGoldenError(`pipeline-${name}`, async () => {
        const trained = gauntlet.train({ model: name });
        const result = await trained.catch(async () => {
          const { type, message } = await failureOf(trained);
          throw new UserError(type, message);
        });
        throw new UserError(result.outcome, result.because);
      });
      for (const mark of MARKS) expect(error.message).not.toContain(mark);
    });

  it('is not registered under a key that its rows were not sealed with', async () => {
    const [ref, sealed] = pinned();
    const parts = { rows: { ...sealed, piiKey: OTHER.fingerprint } } as FinishedParts;
    await expectGoldenError('pii-key-changed', () =>
      createRegister(context).register(ref, parts, run.cause, run.startedAt),
    );
  });

  it('is not compared with a champion whose values were hashed under another key', async () => {
    const [ref, sealed] = pinned();
    const { artefacts } = run;
    const fitted = {
      model: artefacts['trained-model.json']!,
      preprocessing: artefacts['preprocessing.json']!,
      line: '',
    };
    const look = async (piiKey: string, at: string): Promise<Look> => {
      const rows = { ...sealed, piiKey };
      const [split, evaluation] = [artefacts['split.json']!, artefacts['evaluation.json']!];
      const { look: key } = await createLookAtGate(context).lookAtGate(ref, rows, split, evaluation, fitted, at);
      return JSON.parse(new TextDecoder().decode(await gauntlet.stores.bucket.read(key))) as Look;
    };
    const champion = async (piiKey: string, at: string) =>
      ((await look(piiKey, at)).evidence as GateEvidence).champion?.because;
    expect(await champion(OTHER.fingerprint, '2025-02-01T00:00:00.000Z')).toBe(
      'version 1 takes personal inputs as they are, or hashed under another key',
    );
    expect(await champion(PII.fingerprint, '2025-02-02T00:00:00.000Z')).toBeUndefined();
  });

  it('is asked, refused, labelled and logged by its hashes', async () => {
    const log = pino({ level: 'trace' }, pino.destination({ dest: join(gauntlet.folder, 'serving.log'), sync: true }));
    const predictionLog = await openPredictionLog({ bucket: gauntlet.stores.bucket, home: gauntlet.folder, log });
    const serving = createServing({ stores: gauntlet.stores, predictionLog, log, pii: PII });
    await serving.start();
    const row = { visit_id: 'visitor-key-7', email: 'guest3@secret-mail.example', spent: 3, visited_on: '2025-01-02' };
    const ask = (path: string, body: object) => post(serving.app, `/v1/models/personal/${path}`, body);
    expect((await ask('predict', { ...row, session: '+351 911' })).status).toBe(200);
    expect(
      (await ask('predict', { rows: [{ ...row, session: '+351 912', spent: 'guest3@secret-mail.example' }] })).status,
    ).toBe(422);
    expect((await ask('predict', row)).status).toBe(422);
    const label = { visit_id: row.visit_id, happenedAt: new Date().toISOString(), value: true };
    expect((await ask('feedback', label)).status).toBe(202);
    expect((await ask('feedback', { ...label, value: 'visitor-key-7' })).status).toBe(422);
    // In the spool, before anything of it is uploaded.
    expect(await findInFiles(join(gauntlet.folder, 'spool'), MARKS, [])).toEqual([]);
    await serving.stop();
    await predictionLog.close();
    const hashes = { entity: PII.hash(row.visit_id), email: PII.hash(row.email), unit: PII.hash('+351 911') };
    const [answer, kept] = await recordsOf(gauntlet.stores.bucket);
    expect(answer).toMatchObject({
      kind: 'answer',
      entity: hashes.entity,
      unit: hashes.unit,
      inputs: { email: hashes.email },
    });
    expect(kept).toMatchObject({ kind: 'label', entity: hashes.entity, value: true });
  });

  it('leaves no personal value in bucket, home or Temporal, but in the source files themselves', async () => {
    const sources: string[] = [];
    for (const name of projects) {
      const { files } = (await gauntlet.stores.projects.newest(name))!;
      sources.push(`bucket/objects/${files['visits.csv']!.sha256}`);
    }
    const { folder } = gauntlet;
    expect(await findInFiles(folder, MARKS, [...projects, ...sources])).toEqual([]);
    // The search finds what is there: in Parquet, in records, and in Temporal's database.
    const there = await findInFiles(folder, [PII.hash('guest3@secret-mail.example'), 'personal-cast'], projects);
    expect(there).toContainEqual(`bucket/objects/${run.rows!.object}: ${PII.hash('guest3@secret-mail.example')}`);
    expect(there).toContainEqual(expect.stringMatching(/^temporal\.db.*: personal-cast$/));
    expect((await findInFiles(folder, MARKS, projects)).length).toBeGreaterThanOrEqual(MARKS.length);
    await writeFile(join(folder, 'planted.gz'), gzipSync('written by guest3@secret-mail.example'));
    expect(await findInFiles(folder, MARKS, [...projects, ...sources])).toEqual(['planted.gz: @secret-mail']);
  });

  /** What the run's steps were given. */
  function pinned(): [PlanRef, SealedRows] {
    const { model, id, project, asOf, endedAt: now, seed, artefacts } = run;
    return [
      { model, run: id, plan: artefacts['plan.json']!, project, asOf, now, seed, refit: true, overrides: {} },
      { ...run.rows!, piiKey: PII.fingerprint },
    ];
  }

  async function score(rows: Parameters<Awaited<ReturnType<typeof openModel>>['predict']>[0], at?: Float64Array) {
    const { onnx: stored, inputs } = version;
    const bytes = await gauntlet.stores.objects.read(stored.sha256);
    const onnx = await openModel({ bytes, sha256: stored.sha256, inputs });
    try {
      const outputs = await onnx.predict(rows, at ?? new Float64Array(rows.rows));
      return outputs.map((output) => ('failed' in output ? NaN : output.scores[0]!));
    } finally {
      await onnx.close();
    }
  }
});
