import { DOUBLE, DuckDBDataChunk, VARCHAR } from '@duckdb/node-api';
import type { RawRow, Task } from '../schemas/index.ts';
import type { Database } from './database.ts';

/** One row whose outcome is known. */
export interface SealedOutcome {
  predictedMs: number;
  maturesMs: number;
  /** As the task has it: 0 or 1, a value, or a class. */
  label: number | string;
  inputs: RawRow;
}

const TABLE = 'sealed_outcomes';
const CHUNK_ROWS = 2048;

/**
 * Training rows as if they had been requests: the views `answers` and `outcomes`, all of them due and labelled, so that
 * whatever reads a log reads them too.
 */
export async function createSealedOutcomes(db: Database, task: Task, rows: Iterable<SealedOutcome>): Promise<void> {
  const type = task === 'multiclass' ? 'VARCHAR' : 'DOUBLE';
  await db.run(
    `CREATE OR REPLACE TABLE ${TABLE} (request_id VARCHAR, event_ms DOUBLE, matures_ms DOUBLE, label ${type}, inputs VARCHAR)`,
  );
  const types = [VARCHAR, DOUBLE, DOUBLE, task === 'multiclass' ? VARCHAR : DOUBLE, VARCHAR];
  const appender = await db.connection.createAppender(TABLE);
  try {
    let waiting: SealedOutcome[] = [];
    let n = 0;
    const flush = (): void => {
      if (waiting.length === 0) return;
      const chunk = DuckDBDataChunk.create(types, waiting.length);
      const first = n;
      n += waiting.length;
      chunk.setColumnValues(
        0,
        waiting.map((_, i) => String(first + i).padStart(12, '0')),
      );
      chunk.setColumnValues(
        1,
        waiting.map(({ predictedMs }) => predictedMs),
      );
      chunk.setColumnValues(
        2,
        waiting.map(({ maturesMs }) => maturesMs),
      );
      chunk.setColumnValues(
        3,
        waiting.map(({ label }) => label),
      );
      chunk.setColumnValues(
        4,
        waiting.map(({ inputs }) => JSON.stringify(inputs)),
      );
      appender.appendDataChunk(chunk);
      waiting = [];
    };
    for (const row of rows) {
      if (waiting.push(row) < CHUNK_ROWS) continue;
      flush();
      // There may be millions, and whoever waits for this process must hear from it.
      await new Promise((done) => setImmediate(done));
    }
    flush();
  } finally {
    appender.closeSync();
  }
  await db.run(`
    CREATE OR REPLACE TEMP VIEW outcomes AS
    SELECT request_id, 0::BIGINT AS "row", make_timestamp((event_ms * 1000)::BIGINT) AS event_at,
      make_timestamp((matures_ms * 1000)::BIGINT) AS matures_at, inputs, label, true AS matured, 'labelled' AS state
    FROM ${TABLE}`);
  await db.run(
    'CREATE OR REPLACE TEMP VIEW answers AS SELECT request_id, "row", event_at, matures_at, inputs FROM outcomes',
  );
}
