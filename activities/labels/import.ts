import { randomUUID } from 'node:crypto';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LabelImports, sameCause, writeSegment } from '../../bucket/index.ts';
import { requirePii } from '../../onnx/index.ts';
import { findLabels, readFoundLabels, writeFoundLabels, type Database } from '../../sql/index.ts';
import {
  UserError,
  type Cause,
  type ImportLabelsResult,
  type Label,
  type LabelImport,
  type ModelSpec,
} from '../../schemas/index.ts';
import type { Context } from '../context.ts';
import { reportProgress } from '../guard.ts';
import { readPlan, type PlanRef } from '../pipeline/plan.ts';
import { count, pinnedProject, withSources, type DatasetRef } from '../pipeline/rows.ts';

/** Labels in one segment of the log: some hundred kilobytes. */
const LABELS_PER_SEGMENT = 10_000;
/** Objects that hold what was imported, before they are made one again. */
const MOST_PARTS = 16;

/**
 * Runs label.import.sql over the pinned dataset versions, and writes the labels to the log that were known by `until` and
 * were not imported before. The import's record comes last.
 *
 * Safe to repeat: the record names its cause, so what is done is done once. A repeat after a death before the record
 * writes the same labels under the same ids, which count once; of two imports at once, the one that comes second to its
 * number looks again, and finds that nothing of it is new.
 */
export const createImportLabels = (context: Context) => ({
  async importLabels(ref: PlanRef, datasets: DatasetRef[], until: string, cause: Cause): Promise<ImportLabelsResult> {
    const { spec } = await readPlan(context, ref);
    if (!spec.label.import)
      throw new UserError(
        'NoLabelImport',
        `model.yaml of ${ref.model} has no label.import, so there is nothing to import labels by. Give it label.import.sql (one SELECT of entity, happened_at, label, ${spec.label.knownAt}) and apply the project again; or send labels to POST /v1/models/${ref.model}/feedback.`,
      );
    const imports = new LabelImports(context.stores.bucket);
    for (;;) {
      const last = await imports.newest(ref.model);
      if (last && sameCause(last.cause, cause)) return inWords(last);
      if (last && Date.parse(until) < Date.parse(last.until)) return notBefore(last, until);
      const made = await importAfter(context, { ref, datasets, until, cause, spec, last });
      if (await imports.create(made)) return inWords(made);
    }
  },
});

interface Import {
  ref: PlanRef;
  datasets: DatasetRef[];
  until: string;
  cause: Cause;
  spec: ModelSpec;
  /** The import before. */
  last?: LabelImport | undefined;
}

/** Writes labels and all that the record names; gives the record. */
async function importAfter(context: Context, o: Import): Promise<LabelImport> {
  const { ref, datasets, until, cause, spec, last } = o;
  const pii = requirePii(spec, context.pii);
  const piiKey = spec.rows.entityPii ? pii?.fingerprint : undefined;
  // Under another key the same entity is another one.
  const before = last?.piiKey === piiKey ? (last?.imported ?? []) : [];
  const project = await pinnedProject(context, ref);
  const path = spec.label.import!.sql;
  const sql = project.files[path];
  if (!sql)
    throw new UserError(
      'NoLabelsSql',
      `label.import.sql: ${path} is not in the applied project. Apply it again with the file in its folder.`,
    );
  const text = new TextDecoder().decode(await context.stores.objects.read(sql.sha256));
  const n = (last?.n ?? 0) + 1;
  return withSources(context, datasets, async (db, scratch) => {
    const found = await findLabels(db, {
      sql: text,
      spec,
      ...(pii && { pii }),
      until,
      imported: await partsIn(scratch, context, before),
      n,
    });
    const segments = await writeLabels(context, db, o, found.labels);
    const imported = found.labels === 0 ? before : await keepFound(context, db, scratch, before);
    return {
      model: ref.model,
      n,
      until,
      project: ref.project,
      datasets: datasets.map(({ name, hash }) => ({ name, hash })),
      ...found,
      segments,
      imported,
      ...(piiKey !== undefined && { piiKey }),
      cause,
      importedAt: new Date().toISOString(),
    };
  });
}

/** Copies, because the database reads nothing outside its scratch folder but the sources. */
async function partsIn(scratch: string, { stores }: Context, hashes: readonly string[]): Promise<string[]> {
  return Promise.all(
    hashes.map(async (sha256, i) => {
      const path = join(scratch, `imported-${i}.parquet`);
      await copyFile(await stores.objects.file(sha256), path);
      return path;
    }),
  );
}

async function writeLabels(
  { stores }: Context,
  db: Database,
  { ref, datasets, spec }: Import,
  of: number,
): Promise<string[]> {
  const source = datasets.map(({ name, hash }) => `${name}@${hash}`).join(', ');
  const boot = `import-${randomUUID()}`;
  const segments: string[] = [];
  let done = 0;
  for await (const found of readFoundLabels(db, spec, LABELS_PER_SEGMENT)) {
    // A segment is filed under the hour of its upload, which a repeat does not share.
    const now = Date.now();
    const labels = found.map((label): Omit<Label, 'boot' | 'seq'> => ({
      kind: 'label',
      v: 1,
      model: ref.model,
      ...label,
      receivedMs: now,
      by: 'import',
      source,
    }));
    segments.push(await writeSegment(stores.bucket, labels, { boot, now, seqFrom: done }));
    done += labels.length;
    reportProgress({ done, of });
  }
  return segments;
}

async function keepFound(
  { stores }: Context,
  db: Database,
  scratch: string,
  before: readonly string[],
): Promise<string[]> {
  const whole = before.length >= MOST_PARTS;
  const to = join(scratch, 'found.parquet');
  await writeFoundLabels(db, { to, whole });
  const { sha256 } = await stores.objects.put({ file: to });
  return whole ? [sha256] : [...before, sha256];
}

function inWords({ model, n, until, labels, corrections, rows }: LabelImport): ImportLabelsResult {
  const because =
    labels === 0
      ? `none of ${count(rows)} labels was new by ${until}`
      : `${count(labels)} of ${count(rows)} labels were new by ${until}${corrections === 0 ? '' : `, ${count(corrections)} of them in place of earlier ones`}`;
  return { outcome: labels === 0 ? 'nothing new' : 'imported', model, n, until, labels, corrections, because };
}

function notBefore(last: LabelImport, until: string): ImportLabelsResult {
  const { model } = last;
  const because = `import ${last.n} has come to ${last.until} already, which is after ${until}`;
  return { outcome: 'nothing new', model, until, labels: 0, corrections: 0, because };
}
