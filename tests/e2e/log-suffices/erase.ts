/** What erasing an entity from the prediction log takes: the command that does it comes later, and finds all it needs. */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createCloseHour } from '../../../activities/housekeeping/close-hour.ts';
import type { Context } from '../../../activities/context.ts';
import { rowsKey } from '../../../bucket/index.ts';
import type { HourManifest } from '../../../schemas/index.ts';
import { createLogViews, openDatabase, type Database } from '../../../sql/index.ts';

/**
 * Finds all records of an entity of a model: its answers, their shadow scores, and labels of the entity, of its answers,
 * and those that supersede one of these. In tables `gone answers` and `gone labels` of the database that has the views.
 */
export async function findRecordsOf(db: Database, entity: string) {
  await db.run(`
    CREATE OR REPLACE TEMP TABLE "gone answers" AS
    SELECT request_id, "row" FROM answers WHERE entity = '${entity}'
    UNION SELECT request_id, "row" FROM shadow_scores WHERE entity = '${entity}'`);
  await db.run(`
    CREATE OR REPLACE TEMP TABLE "gone labels" AS
    WITH RECURSIVE gone(label_id) AS (
      SELECT label_id FROM labels AS l
      WHERE entity = '${entity}' OR (request_id, coalesce("row", 0)) IN (SELECT (request_id, "row") FROM "gone answers")
      UNION SELECT l.label_id FROM labels AS l JOIN gone ON l.supersedes = gone.label_id)
    SELECT label_id FROM gone`);
  const [found] = await db.rowsOf(`
    SELECT (SELECT count(*) FROM answers SEMI JOIN "gone answers" USING (request_id, "row")) AS answers,
      (SELECT count(*) FROM shadow_scores SEMI JOIN "gone answers" USING (request_id, "row")) AS "shadowScores",
      (SELECT count(*) FROM "gone labels") AS labels`);
  return found as { answers: number; shadowScores: number; labels: number };
}

const IS_GONE = `CASE kind
  WHEN 'label' THEN label_id IN (SELECT label_id FROM "gone labels")
  ELSE (request_id, "row") IN (SELECT (request_id, "row") FROM "gone answers") END`;

/** Rewrites every hour that holds a record of the entity. @returns how many hours, and what was found */
export async function erase(context: Context, model: string, entity: string, at: string) {
  const { bucket, logHours } = context.stores;
  const scratch = await mkdtemp(join(context.home, 'erase-'));
  try {
    const hours: { manifest: HourManifest; file: string }[] = [];
    for (const { hour, raw } of await logHours.list()) {
      if (raw.length > 0) await createCloseHour(context).closeHour(hour, at);
      const manifest = (await logHours.newest(await logHours.look(hour)))!;
      const rows = manifest.models[model];
      if (rows) hours.push({ manifest, file: (await logHours.rows(rows, scratch))! });
    }
    const db = await openDatabase({ files: hours.map(({ file }) => file), writable: scratch });
    try {
      await createLogViews(db, model, { raw: [], parquet: hours.map(({ file }) => file) });
      const found = await findRecordsOf(db, entity);
      let rewritten = 0;
      for (const { manifest, file } of hours) {
        const [gone] = await db.rowsOf(`SELECT count(*) AS n FROM read_parquet('${file}') WHERE ${IS_GONE}`);
        if (gone!['n'] === 0) continue;
        rewritten++;
        const to = join(scratch, `${rewritten}.parquet`);
        await db.run(
          `COPY (SELECT * FROM read_parquet('${file}') WHERE NOT (${IS_GONE})) TO '${to}' (FORMAT parquet, COMPRESSION zstd)`,
        );
        const before = manifest.models[model]!;
        const key = rowsKey(
          model,
          manifest.hour,
          1 + Number.parseInt(before.key.slice(before.key.lastIndexOf('/') + 1), 10),
        );
        if (!(await bucket.create(key, { file: to }))) throw new Error(`${key} is taken`);
        const models = { ...manifest.models, [model]: { key, ...(await describe(db, to)) } };
        const successor: HourManifest = { ...manifest, k: manifest.k + 1, models, because: 'erasure', closedAt: at };
        if (!(await logHours.writeManifest(successor))) throw new Error(`hour ${manifest.hour} was changed meanwhile`);
        await bucket.remove(before.key);
      }
      return { ...found, hours: rewritten };
    } finally {
      db.close();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function describe(db: Database, file: string) {
  const bytes = await readFile(file);
  const [counts] = await db.rowsOf(`
    SELECT count(*) FILTER (WHERE kind = 'answer') AS answers, count(*) FILTER (WHERE kind = 'shadow') AS "shadowScores",
      count(*) FILTER (WHERE kind = 'label') AS labels FROM read_parquet('${file}')`);
  return {
    sha256: createHash('sha256').update(bytes).digest('hex'),
    bytes: bytes.length,
    ...(counts as { answers: number; shadowScores: number; labels: number }),
  };
}
