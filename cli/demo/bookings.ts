import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openDatabase } from '../../sql/index.ts';

/** A prediction as it was asked for, on one day of the log. */
export type AskedRow = Record<string, unknown>;

/** Ground truth by entity, as POST /feedback takes it. */
export interface KnownLabel {
  booking_id: string;
  labelId: string;
  happenedAt: string;
  knownAt: string;
  value: boolean;
}

/** One day of what really happened. */
export interface LogDay {
  date: string;
  /** Bookings made on it. */
  rows: AskedRow[];
  /** What became known on it, of bookings that are in the log. */
  labels: KnownLabel[];
}

/** The example that the demo plays: its own SQL says what a request holds, and when an outcome was known. */
const SOURCE = 'hotel_bookings';

/**
 * The bookings from one day on, day by day, with the outcomes of these on the days on which they became known. Bookings
 * end before `until`; outcomes go on until the last is known.
 *
 * @param o.where  SQL condition over the columns of rows.sql
 */
export async function readBookings(
  folder: string,
  o: { from: string; until: string; where?: string },
): Promise<LogDay[]> {
  const data = join(folder, `${SOURCE}.parquet`);
  const [rowsSql, labelsSql] = await Promise.all(
    ['rows.sql', 'labels.sql'].map((file) => readFile(join(folder, file), 'utf8')),
  );
  const db = await openDatabase({ files: [data] });
  try {
    await db.run(`CREATE VIEW ${SOURCE} AS FROM read_parquet('${data.replaceAll("'", "''")}')`);
    await db.run(`
      CREATE TEMP TABLE asked AS SELECT * FROM (\n${rowsSql}\n)
      WHERE predicted_at >= DATE '${o.from}' AND predicted_at < DATE '${o.until}' AND (${o.where ?? 'true'})`);
    const asked = await db.rowsOf(`
      SELECT strftime(predicted_at, '%Y-%m-%d') AS day, to_json(r)::VARCHAR AS json
      FROM (SELECT entity AS booking_id, * EXCLUDE (entity, label, known_at) FROM asked) AS r
      ORDER BY predicted_at, booking_id::BIGINT`);
    const known = await db.rowsOf(`
      SELECT entity, strftime(l.happened_at, '%Y-%m-%d') AS happened, strftime(l.known_at, '%Y-%m-%d') AS known, l.label
      FROM (\n${labelsSql}\n) AS l SEMI JOIN asked USING (entity)
      ORDER BY l.known_at, entity::BIGINT`);
    return byDay(
      asked.map(({ day, json }) => ({ day: day as string, row: askedRow(json as string) })),
      known.map(({ entity, happened, known: at, label }) => ({
        booking_id: entity as string,
        labelId: `outcome-${entity as string}`,
        happenedAt: happened as string,
        knownAt: at as string,
        value: Boolean(label),
      })),
    );
  } finally {
    db.close();
  }
}

function askedRow(json: string): AskedRow {
  const { predicted_at: _, ...row } = JSON.parse(json) as AskedRow;
  return row;
}

const DAY_MS = 86_400_000;

/** Every day from the first to the last, those without anything included. */
function byDay(asked: { day: string; row: AskedRow }[], known: KnownLabel[]): LogDay[] {
  const days = new Map<string, LogDay>();
  const dates = [...asked.map(({ day }) => day), ...known.map(({ knownAt }) => knownAt)];
  const [first, last] = dates.reduce(([a, b], date) => [date < a ? date : a, date > b ? date : b], ['9999', '0000']);
  for (let ms = Date.parse(first); ms <= Date.parse(last); ms += DAY_MS) {
    const date = new Date(ms).toISOString().slice(0, 10);
    days.set(date, { date, rows: [], labels: [] });
  }
  for (const { day, row } of asked) days.get(day)!.rows.push(row);
  for (const label of known) days.get(label.knownAt)!.labels.push(label);
  return [...days.values()];
}
