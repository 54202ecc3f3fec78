import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeColumn, derive, requirePii } from '../../onnx/index.ts';
import {
  checkSourceColumns,
  describeFile,
  formatOf,
  openSources,
  readRows,
  sealRows,
  type Database,
} from '../../sql/index.ts';
import {
  UserError,
  hashedNames,
  personalNames,
  type Column,
  type Columns,
  type DatasetVersion,
  type GraphSpec,
  type ModelSpec,
  type Project,
  type SealedRows,
  type TrainingRows,
} from '../../schemas/index.ts';
import type { Context } from '../context.ts';
import { readPlan, type PlanRef } from './plan.ts';

export interface DatasetRef {
  name: string;
  hash: string;
  rows: number;
  bytes: number;
}

/**
 * The data of each source as a dataset version: a hash of content.
 * Safe to repeat: the same bytes are the same version, and nothing is stored twice.
 */
export const createIngest = (context: Context) => ({
  async ingest(ref: PlanRef, now: string): Promise<{ datasets: DatasetRef[]; line: string }> {
    const { stores } = context;
    const { spec } = await readPlan(context, ref);
    const project = await pinnedProject(context, ref);
    const datasets: DatasetRef[] = [];
    for (const [name, source] of Object.entries(spec.sources)) {
      const file = project.files[source.file];
      if (!file)
        throw new UserError(
          'NoSourceFile',
          `sources.${name}.file: ${source.file} is not in the applied project. Apply it again with the file in its folder.`,
        );
      const known = await stores.datasets.read(name, file.sha256);
      const isPersonal = personalNames(spec).size > 0;
      const version =
        known ??
        (await stores.datasets.create(await describe(context, { name, path: source.file, isPersonal }, file, now)));
      checkSourceColumns(name, source, version.columns);
      datasets.push({ name, hash: version.hash, rows: version.rows, bytes: version.bytes });
    }
    const line = datasets
      .map((d) => `${d.name} ${d.hash.slice(0, 12)}: ${count(d.rows)} rows, ${(d.bytes / 1e6).toFixed(1)} MB`)
      .join('; ');
    return { datasets, line };
  },
});

/**
 * Runs rows.sql over the pinned dataset versions and seals what it gave, so that resuming and reproducing start from
 * the same bytes. Safe to repeat: another seal of the same rows has the same rows hash, and one answer counts.
 */
export const createSealTrainingRows = (context: Context) => ({
  async sealTrainingRows(ref: PlanRef, datasets: DatasetRef[]): Promise<SealedRows & { line: string }> {
    const { spec } = await readPlan(context, ref);
    const pii = requirePii(spec, context.pii);
    const project = await pinnedProject(context, ref);
    const text = new TextDecoder().decode(await context.stores.objects.read(project.files[spec.rows.sql]!.sha256));
    return withSources(context, datasets, async (db, scratch) => {
      const to = join(scratch, 'rows.parquet');
      const { rows, rowsHash } = await sealRows(db, { sql: text, spec, to, ...(pii && { pii }) });
      if (rows === 0)
        throw new UserError(
          'NoRows',
          `${spec.rows.sql} gave no rows from ${datasets.map((d) => `${d.name} (${count(d.rows)} rows)`).join(', ')}. ` +
            'It must give one row for each prediction: look at its conditions and joins, and apply the project again.',
        );
      const { sha256 } = await context.stores.objects.put({ file: to });
      return {
        object: sha256,
        rowsHash,
        rows,
        ...(pii && hashedNames(spec).size > 0 && { piiKey: pii.fingerprint }),
        line: `${count(rows)} rows sealed, ${rowsHash.slice(0, 12)}`,
      };
    });
  },
});

/** Opens the pinned dataset versions as DuckDB views, with a scratch folder that is removed afterwards. */
export async function withSources<T>(
  context: Context,
  datasets: DatasetRef[],
  work: (db: Database, scratch: string) => Promise<T>,
): Promise<T> {
  const scratch = await mkdtemp(join(context.home, 'scratch-'));
  try {
    const sources = await Promise.all(
      datasets.map(async ({ name, hash }) => {
        const version = await context.stores.datasets.read(name, hash);
        if (!version)
          throw new UserError('NoDataset', `Dataset version ${name} ${hash} is not in the bucket any more.`);
        const parts = version.parts.map(async ({ sha256, format, gzip }) => ({
          path: await context.stores.objects.file(sha256),
          format,
          gzip,
        }));
        return { name, parts: await Promise.all(parts) };
      }),
    );
    const db = await openSources(sources, { tempDirectory: scratch, writable: scratch });
    try {
      return await work(db, scratch);
    } finally {
      db.close();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Sealed rows, decoded by the function that requests are decoded by, with their derived columns and maturesAt. */
export interface DerivedRows extends TrainingRows {
  derived: Columns;
  /** [rows] seconds since 1970 */
  maturesAt: Float64Array;
}

export async function loadRows(
  context: Context,
  sealed: SealedRows,
  spec: ModelSpec,
  graph: GraphSpec,
  where?: string,
): Promise<DerivedRows> {
  const file = await context.stores.objects.file(sealed.object);
  const rows = await readRows(file, spec, where === undefined ? {} : { where });
  const columns: Record<string, Column> = {};
  const rowName = (i: number) =>
    `${spec.rows.entity} ${rows.entity[i]} predicted at ${new Date(rows.predictedAt[i]! * 1000).toISOString()}`;
  const personal = personalNames(spec);
  for (const [name, input] of Object.entries(spec.inputs))
    columns[name] = decodeColumn(name, input, rows.inputs.columns[name]!, {
      rowName,
      personal: 'hashed',
      hide: personal.has(name),
    });
  const inputs = { rows: rows.rows, columns };
  const { derived, maturesAt } = await derive(graph, inputs, rows.predictedAt);
  return { ...rows, inputs, derived, maturesAt };
}

/** Some of the rows, in the order of the indices. */
export function takeRows(rows: DerivedRows, indices: ArrayLike<number>): DerivedRows {
  const n = indices.length;
  return {
    rows: n,
    entity: Array.from({ length: n }, (_, i) => rows.entity[indices[i]!]!),
    predictedAt: takeNumbers(rows.predictedAt, indices),
    knownAt: takeNumbers(rows.knownAt, indices),
    maturesAt: takeNumbers(rows.maturesAt, indices),
    label: takeColumn(rows.label, indices),
    inputs: takeColumns(rows.inputs, indices),
    derived: takeColumns(rows.derived, indices),
  };
}

function takeColumns({ columns }: Columns, indices: ArrayLike<number>): Columns {
  return {
    rows: indices.length,
    columns: Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, takeColumn(column, indices)])),
  };
}

function takeColumn(column: Column, indices: ArrayLike<number>): Column {
  if (column instanceof Float64Array) return takeNumbers(column, indices);
  return Array.from({ length: indices.length }, (_, i) => column[indices[i]!]!);
}

function takeNumbers(column: Float64Array, indices: ArrayLike<number>): Float64Array {
  const taken = new Float64Array(indices.length);
  for (let i = 0; i < taken.length; i++) taken[i] = column[indices[i]!]!;
  return taken;
}

export async function pinnedProject(context: Context, ref: PlanRef): Promise<Project> {
  const project = await context.stores.projects.at(ref.model, ref.project.n);
  if (!project)
    throw new UserError('NoProject', `Project ${ref.project.n} of ${ref.model} is not in the bucket any more.`);
  return project;
}

async function describe(
  context: Context,
  { name, path, isPersonal }: { name: string; path: string; isPersonal: boolean },
  file: { sha256: string; bytes: number },
  now: string,
): Promise<DatasetVersion> {
  const { format, gzip } = formatOf(name, path);
  const local = await context.stores.objects.file(file.sha256).catch((error: unknown) => {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.type, `Source ${name}: the applied ${path} cannot be read. ${error.message}`);
  });
  const { rows, columns } = await describeFile({
    path: local,
    format,
    gzip,
    source: name,
    file: path,
    personal: isPersonal,
  });
  return {
    name,
    hash: file.sha256,
    parts: [{ sha256: file.sha256, bytes: file.bytes, rows, format, gzip }],
    rows,
    bytes: file.bytes,
    columns,
    source: path,
    ingestedAt: now,
  };
}

export function count(n: number): string {
  return n.toLocaleString('en-US');
}
