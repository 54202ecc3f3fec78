import { setImmediate } from 'node:timers/promises';
import { Hono, type Context } from 'hono';
import type { PredictionLog } from '../../bucket/index.ts';
import { UserError, type Issue, type ModelVersion } from '../../schemas/index.ts';
import { ProblemError, problemMethod } from '../problem.ts';
import { received } from '../received.ts';
import { requestId } from '../request-id.ts';
import { readText, valueOf, type BodyKind } from './body.ts';
import { readLabel, valueInput, type FeedbackTerms, type NewLabel } from './feedback-label.ts';
import { parseJson } from './json.ts';

/** Labels that one request may carry. */
export const MAX_LABELS = 10_000;
export const MAX_BULK_BYTES = 10_000_000;

export interface FeedbackOptions {
  log: Pick<PredictionLog, 'append' | 'written'>;
  /** The newest loaded version of a served model. May throw a ProblemError of its own: not loaded yet, say. */
  terms(model: string): { version: ModelVersion } | undefined;
  /** Milliseconds since 1970. */
  now(): number;
  /** Of one label; default 1 MB. */
  maxBodyBytes?: number;
  /** Of a body of many; default 10 MB. */
  maxBulkBytes?: number;
  /** Keyed hash of personal values. Without it, labels of a personal entity are refused. */
  hash?: (value: string) => string;
  /** Told of labels that are on disk. */
  onKept?: (model: string, labels: number) => void;
  /** Told of what a log that cannot be written says, where that is no mistake of a person. */
  onError?: (error: unknown) => void;
}

/** The answer to feedback: labels that are on disk. */
export interface FeedbackAnswer {
  model: string;
  labels: number;
  /** Of these, how many correct an earlier label, and how many take one back. */
  corrections: number;
  withdrawn: number;
  /** One a label, in their order. */
  labelIds: string[];
  requestId: string;
}

/**
 * Ground truth coming in: `POST /v1/models/:model/feedback`, one label as JSON or many as NDJSON.
 *
 * A body is kept whole or not at all, and is acknowledged once it would survive this process. Errors are thrown, for the
 * app that these routes are mounted in.
 */
export function feedbackRoutes(o: FeedbackOptions): Hono {
  const app = new Hono();
  app.post('/v1/models/:model/feedback', async (c) => {
    const model = c.req.param('model');
    const terms = termsOf(o, model);
    const labels = await readBody(c, o, terms);
    await keep(o, labels);
    o.onKept?.(model, labels.length);
    const answer: FeedbackAnswer = {
      model,
      labels: labels.length,
      corrections: labels.filter(({ supersedes, value }) => supersedes !== undefined && value !== null).length,
      withdrawn: labels.filter(({ value }) => value === null).length,
      labelIds: labels.map(({ labelId }) => labelId),
      requestId: requestId(c),
    };
    return c.json(answer, 202, { 'x-request-id': answer.requestId });
  });
  app.all('/v1/models/:model/feedback', problemMethod('POST'));
  return app;
}

function termsOf(o: FeedbackOptions, model: string): FeedbackTerms {
  const found = o.terms(model);
  if (!found)
    throw new ProblemError({
      status: 404,
      type: 'no-such-model',
      title: 'No such model',
      detail: `No model named ${model.slice(0, 80)} is served, so its labels have nothing to be held against.`,
      next: 'gauntlet models lists every model; gauntlet promote serves a version of one.',
    });
  const { version } = found;
  const terms = { version, value: valueInput(version), nowMs: o.now() };
  if (!version.serving?.entityPii) return terms;
  if (!o.hash)
    throw new ProblemError({
      status: 503,
      type: 'no-pii-key',
      title: 'No key for personal values',
      detail: `The entity of ${version.model} is personal, and this server has no key to hash it with: nothing was kept.`,
      next: 'Start the API with GAUNTLET_PII_KEY, the key that the model was trained with.',
    });
  return { ...terms, hash: o.hash };
}

const BULK = /^application\/(?:x-)?(?:ndjson|jsonl(?:ines)?)$/;
const LABELS: BodyKind = {
  type: /^application\/(?:(?:[\w.+-]+\+)?json|(?:x-)?(?:ndjson|jsonl(?:ines)?))$/,
  called: 'application/json or application/x-ndjson',
  next: 'Send one label as a JSON object, or one on each line as application/x-ndjson.',
};

async function readBody(c: Context, o: FeedbackOptions, terms: FeedbackTerms): Promise<NewLabel[]> {
  const type = (c.req.header('content-type') ?? '').toLowerCase().split(';')[0]!.trim();
  if (BULK.test(type)) return readLines(await readText(received(c), LABELS, o.maxBulkBytes ?? MAX_BULK_BYTES), terms);
  const body = valueOf(await readText(received(c), LABELS, o.maxBodyBytes ?? 1_000_000));
  const read = readLabel(body, terms);
  if ('label' in read) return [read.label];
  throw invalid(terms.version, read.issues, 'so it was not kept');
}

/** Enough to mend a file by. */
const MAX_ISSUES = 100;
/** Between them others are answered: ten thousand lines take a tenth of a second. */
const LINES_AT_ONCE = 200;

/** @throws {ProblemError} naming every bad line, 400 where one is not JSON, else 422 */
async function readLines(text: string, terms: FeedbackTerms): Promise<NewLabel[]> {
  const lines = text
    .split('\n')
    .map((line, i) => ({ line: line.trim(), at: `line ${i + 1}` }))
    .filter(({ line }) => line !== '');
  if (lines.length === 0 || lines.length > MAX_LABELS)
    throw new ProblemError({
      status: lines.length === 0 ? 400 : 413,
      type: lines.length === 0 ? 'malformed-json' : 'too-large',
      title: lines.length === 0 ? 'There is no label' : 'Too many labels',
      detail: `The body has ${lines.length === 0 ? 'only empty lines' : `${lines.length} labels, so none was kept`}; expected 1 to ${MAX_LABELS}, one JSON object on each line.`,
      next: lines.length === 0 ? LABELS.next : 'Send fewer labels at a time.',
    });
  const labels: NewLabel[] = [];
  const issues: Issue[] = [];
  const seen = new Map<string, { at: string; line: string }>();
  let badLines = 0;
  let malformed = false;
  for (const [i, { line, at }] of lines.entries()) {
    if (i % LINES_AT_ONCE === LINES_AT_ONCE - 1) await setImmediate();
    const read = readLine(line, at, terms);
    malformed ||= 'malformed' in read;
    if ('label' in read) {
      const twin = seen.get(read.label.labelId);
      if (twin && twin.line !== line) {
        const expected = 'a labelId of its own: a correction is a new label, with supersedes';
        read.issues.push({
          at: `${at}: labelId`,
          found: `the labelId of ${twin.at}, which says something else`,
          expected,
        });
      }
      seen.set(read.label.labelId, { at, line });
      labels.push(read.label);
    }
    if (read.issues.length === 0) continue;
    badLines++;
    if (issues.length < MAX_ISSUES) issues.push(...read.issues.slice(0, MAX_ISSUES - issues.length));
  }
  if (badLines === 0) return labels;
  const so = `in ${badLines} of ${lines.length} lines, so none of them was kept`;
  throw invalid(terms.version, issues, so, malformed ? 400 : 422);
}

function readLine(
  line: string,
  at: string,
  terms: FeedbackTerms,
): { label: NewLabel; issues: Issue[] } | { issues: Issue[]; malformed?: true } {
  const parsed = parseJson(line);
  if (!parsed.ok) {
    const { column, found, expected } = parsed;
    return { issues: [{ at: `${at}, column ${column}`, found, expected }], malformed: true };
  }
  const read = readLabel(parsed.value, terms);
  if ('label' in read) return { ...read, issues: [] };
  return { issues: read.issues.map((issue) => ({ ...issue, at: `${at}: ${issue.at}` })) };
}

/** @throws {ProblemError} 503 where a label could not be made durable: then nothing is acknowledged */
async function keep({ log, onError }: FeedbackOptions, labels: NewLabel[]): Promise<void> {
  let because = 'its log has no room even for labels';
  let kept = true;
  for (const [i, label] of labels.entries()) {
    if (i % LINES_AT_ONCE === LINES_AT_ONCE - 1) await setImmediate();
    if (log.append(label) === 'kept') continue;
    kept = false;
    break;
  }
  try {
    if (kept) return await log.written();
  } catch (error) {
    if (error instanceof UserError) because = error.message;
    else {
      because = 'its log failed';
      onError?.(error);
    }
  }
  throw new ProblemError({
    status: 503,
    type: 'labels-not-kept',
    title: 'The labels could not be kept',
    detail: `This server could not write them down: ${because}. Nothing is acknowledged.`,
    next: 'Send the same again later. With a labelId of your own on each label, one that was kept after all counts once.',
    headers: { 'retry-after': '5' },
  });
}

const invalid = (version: ModelVersion, issues: Issue[], so: string, status: 400 | 422 = 422): ProblemError =>
  new ProblemError({
    status,
    type: status === 400 ? 'malformed-json' : 'invalid-label',
    title: status === 400 ? 'The body is not JSON' : 'The label does not fit the model',
    detail: `${issues.length === 1 ? 'One thing is' : `${issues.length === MAX_ISSUES ? 'At least ' : ''}${issues.length} things are`} wrong with feedback on ${version.model}, ${so}: ${issues
      .slice(0, 3)
      .map(({ at, found, expected }) => `${at}: found ${found}, expected ${expected}`)
      .join('; ')}${issues.length > 3 ? '; ...' : ''}.`,
    issues,
    next: 'GET /openapi.json has the schema and examples.',
  });
