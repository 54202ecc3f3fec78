import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import type { Stores } from '../../bucket/index.ts';
import { route } from '../../policies/index.ts';
import type { Revision } from '../../schemas/index.ts';
import { createLogViews, openDatabase } from '../../sql/index.ts';
import type { Client } from './client.ts';
import { answerOf, MODEL, ODD } from './models.ts';

export interface Found {
  counts: Record<string, number>;
  /** Each with its evidence. */
  violations: string[];
}

/** What may be lost of the answers before a kill. */
export const WINDOW_MS = 50;
/** Of a machine on which threads and timers are late. */
export const TOLERANCE_MS = 150;
const MOST_EXAMPLES = 5;

/** What the log says, row by row. */
interface LoggedAnswer {
  id: string;
  row: number;
  version: number;
  revision: number;
  unit: string;
  assigned: string;
  assigned_version: number;
  reason: string;
  propensity: number;
  prediction: string | null;
  x: number;
  answered_ms: number;
}

interface LoggedShadow {
  id: string;
  row: number;
  version: number;
  revision: number;
}

export interface Log {
  answers: LoggedAnswer[];
  shadows: LoggedShadow[];
  labels: { id: string; request_id: string; value: string }[];
  duplicates: number;
  broken: number;
}

/** The whole log, as every reader sees it. */
export async function readLog({ logHours }: Pick<Stores, 'logHours'>, model: string, folder: string): Promise<Log> {
  const scratch = await mkdtemp(join(folder, 'reader-'));
  const { broken, ...files } = await logHours.files(model, {}, scratch);
  const db = await openDatabase({ files: [...files.raw, ...files.parquet] });
  try {
    const counts = await createLogViews(db, model, files);
    const rowsOf = async <T>(sql: string): Promise<T[]> => (await db.rowsOf(sql)) as T[];
    const numbers = (...names: string[]) => names.map((name) => `"${name}"::DOUBLE AS "${name}"`).join(', ');
    return {
      answers: await rowsOf(
        `SELECT request_id AS id, ${numbers('row', 'version', 'revision', 'assigned_version')}, unit, assigned, reason, propensity, prediction, (inputs ->> '$.x')::DOUBLE AS x, epoch_ms(answered_at)::DOUBLE AS answered_ms FROM answers`,
      ),
      shadows: await rowsOf(`SELECT request_id AS id, ${numbers('row', 'version', 'revision')} FROM shadow_scores`),
      labels: await rowsOf('SELECT label_id AS id, request_id, value FROM labels'),
      duplicates: counts.duplicates,
      broken: broken + counts.broken,
    };
  } finally {
    db.close();
  }
}

/** Holds what clients were promised against the log and the serving log. Nothing runs any more. */
export async function findViolations(o: {
  stores: Stores;
  folder: string;
  client: Client;
  model?: string;
}): Promise<Found & { log: Log }> {
  const { stores, client } = o;
  const log = await readLog(stores, o.model ?? MODEL, o.folder);
  const revisions = await readRevisions(stores);
  const lost = lostAnswers(client, log);
  const violations = [
    ...client.failures.map((failure) => `a request failed: ${failure}`),
    ...client.unheard.map((id) => `nobody was there: ${id}`),
    ...revisions.violations,
    ...lost.violations,
    ...wrongAnswers(client, log),
    ...wrongRoutes(log, revisions.byNumber),
    ...wrongShadows(client, log, revisions.byNumber),
    ...wrongLabels(client, log),
    // A label that was sent again is the only record that may be there twice.
    ...(log.duplicates > client.labelRepeats
      ? [`${log.duplicates} records are in the log twice; ${client.labelRepeats} labels were sent again`]
      : []),
    ...(log.broken > 0 ? [`${log.broken} lines of the log are broken`] : []),
  ];
  return {
    counts: {
      revisions: revisions.byNumber.size,
      'requests answered': client.answered.length,
      failovers: client.failovers,
      'answers in the log, by row': log.answers.length,
      'requests lost in the window before a kill': lost.count,
      'oldest of these, ms before the kill': Math.round(lost.oldestMs),
      'shadow scores': log.shadows.length,
      'labels acknowledged': client.acknowledged.length,
      'records that were there twice': log.duplicates,
      ...reasons(log),
    },
    violations: shortened(violations),
    log,
  };
}

function reasons({ answers }: Log): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { reason } of answers) counts[`answered as ${reason}`] = (counts[`answered as ${reason}`] ?? 0) + 1;
  return counts;
}

/** Answers that no record tells of, though they were received earlier than the window before their replica was killed. */
export function lostAnswers(
  client: Pick<Client, 'answered'>,
  log: Log,
): { count: number; oldestMs: number; violations: string[] } {
  const kept = new Set(log.answers.map(({ id, row }) => `${id} ${row}`));
  const violations: string[] = [];
  let [count, oldestMs] = [0, 0];
  for (const { id, rows, life, receivedMs } of client.answered) {
    const missing = rows.filter((_, i) => !kept.has(`${id} ${i}`)).length;
    if (missing === 0) continue;
    const beforeMs = life.killedMs === undefined ? Infinity : life.killedMs - receivedMs;
    if (beforeMs <= WINDOW_MS + TOLERANCE_MS) {
      count++;
      oldestMs = Math.max(oldestMs, beforeMs);
    } else
      violations.push(
        `lost: ${id}, ${missing} of ${rows.length} rows, answered by ${life.replica} ${beforeMs === Infinity ? 'in a life that was not killed' : `${beforeMs.toFixed(0)} ms before it was killed`}`,
      );
  }
  return { count, oldestMs, violations };
}

export async function readRevisions({
  bucket,
  serving,
}: Stores): Promise<{ byNumber: Map<number, Revision>; violations: string[] }> {
  const byNumber = new Map<number, Revision>();
  const violations: string[] = [];
  let last = 0;
  const lastOf = new Map<string, number>();
  const causes = new Map<string, number>();
  for await (const { key } of bucket.list('serving/')) {
    const n = Number.parseInt(key.slice('serving/'.length), 10);
    const revision = await serving.at(n);
    if (!revision || revision.n !== n || n !== last + 1 || revision.was !== (lastOf.get(revision.model) ?? 0))
      violations.push(`revisions: ${n} follows ${last}, and says ${JSON.stringify(revision)}`);
    else byNumber.set(n, revision);
    if (revision) lastOf.set(revision.model, n);
    last = n;
    const cause = JSON.stringify(revision?.cause);
    if (causes.has(cause)) violations.push(`revisions: ${causes.get(cause)} and ${n} have one cause, ${cause}`);
    causes.set(cause, n);
  }
  return { byNumber, violations };
}

/** What was answered is what the log says, and what the version that is named computes. */
function wrongAnswers(client: Client, log: Log): string[] {
  const violations: string[] = [];
  const said = new Map(client.answered.map((answered) => [answered.id, answered]));
  for (const { id, rows } of client.answered)
    for (const { x, version, prediction } of rows)
      if (prediction !== answerOf(version, x))
        violations.push(`wrong answer: ${id}: version ${version} cannot have said ${prediction} to ${x}`);
  const seen = new Set<string>();
  for (const logged of log.answers) {
    const { id, row, version, revision, x, prediction } = logged;
    if (seen.has(`${id} ${row}`)) violations.push(`counted twice: ${id}, row ${row}`);
    seen.add(`${id} ${row}`);
    if (!client.asked.has(id)) violations.push(`nobody asked: ${JSON.stringify(logged)}`);
    // A champion that does harm, in its bake.
    const isNone = prediction === null && logged.reason === 'champion' && ODD.includes(version);
    if (!isNone && Number(prediction) !== answerOf(version, x))
      violations.push(`wrong record: version ${version} cannot have said ${JSON.stringify(logged)}`);
    const answered = said.get(id);
    if (!answered) continue; // its replica was killed before the answer arrived
    const received = answered.rows[row];
    if (received?.version !== version || received.x !== x || answered.revision !== revision)
      violations.push(
        `not what was said: received ${JSON.stringify({ ...answered, life: undefined })}, logged ${JSON.stringify(logged)}`,
      );
  }
  return violations;
}

/** Each answer is what its revision says of its unit, and its revision was there when it was given. */
function wrongRoutes({ answers }: Log, revisions: Map<number, Revision>): string[] {
  const violations: string[] = [];
  for (const logged of answers) {
    const { version, revision: n, unit, reason, assigned, answered_ms: answeredMs } = logged;
    const revision = revisions.get(n);
    if (!revision || Date.parse(revision.committedAt) > answeredMs) {
      violations.push(`too early: revision ${n} was not there yet for ${JSON.stringify(logged)}`);
      continue;
    }
    const { canary } = revision.serving;
    // A canary may have ended between the routing and the answer, so both are right then.
    const untilMs = canary ? Date.parse(canary.until) : 0;
    const routes = [route(revision.serving, unit, answeredMs), route(revision.serving, unit, untilMs - 1)].slice(
      0,
      answeredMs >= untilMs && answeredMs - untilMs < ENDED_JUST_NOW_MS ? 2 : 1,
    );
    const isRouted = routes.some(
      (routed) =>
        routed?.assigned === assigned &&
        routed.version === logged.assigned_version &&
        routed.propensity === logged.propensity,
    );
    const { champion } = revision.serving;
    const isAllowed = version === (reason === 'canary' ? canary?.version : champion);
    const isExplained = assigned === 'canary' ? reason !== 'champion' : reason === 'champion';
    if (!isRouted || !isAllowed || !isExplained)
      violations.push(
        `not allowed: revision ${JSON.stringify(revision.serving)} says otherwise than ${JSON.stringify(logged)}`,
      );
  }
  return violations;
}

const ENDED_JUST_NOW_MS = 10_000;

function wrongShadows(client: Client, { shadows }: Log, revisions: Map<number, Revision>): string[] {
  return shadows
    .filter(
      ({ id, version, revision }) =>
        !client.asked.has(id) || !revisions.get(revision)?.serving.shadows.some((shadow) => shadow.version === version),
    )
    .map((shadow) => `shadow score that no revision asked for: ${JSON.stringify(shadow)}`);
}

export function wrongLabels(client: Pick<Client, 'acknowledged'>, { labels }: Log): string[] {
  const kept = new Map(labels.map((label) => [label.id, label]));
  const wrong = client.acknowledged.filter(({ labelId, requestId, value }) => {
    const label = kept.get(labelId);
    return label?.request_id !== requestId || Number(label.value) !== value;
  });
  return [
    ...wrong.map(({ labelId }) => `an acknowledged label is lost or changed: ${labelId}`),
    ...(kept.size === labels.length ? [] : [`${labels.length - kept.size} labels are counted twice`]),
  ];
}

/** Of many of a kind, which stands before the colon, only the first, and how many there are. */
export function shortened(violations: string[]): string[] {
  const kinds = new Map<string, string[]>();
  for (const violation of violations) {
    const kind = violation.slice(0, violation.indexOf(':'));
    kinds.set(kind, [...(kinds.get(kind) ?? []), violation]);
  }
  return [...kinds.values()].flatMap((of) =>
    of.length <= MOST_EXAMPLES
      ? of
      : [...of.slice(0, MOST_EXAMPLES), `${of[0]!.split(':')[0]}: ${of.length - MOST_EXAMPLES} more`],
  );
}
