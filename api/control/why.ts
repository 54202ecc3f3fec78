import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Stores } from '../../bucket/index.ts';
import { instantMs, type Answer } from '../../schemas/index.ts';
import { createLogViews, openDatabase, readAnswers, readOutcome, readShadowScores } from '../../sql/index.ts';
import { ProblemError } from '../problem.ts';
import { readChain } from './why/chain.ts';
import { filesAbout, findAnswer, SMALL } from './why/find.ts';
import type { Why } from './why/shapes.ts';
import { answerStep, labelStep, routeStep, shadowSteps, summary } from './why/told.ts';

export interface WhyOptions {
  stores: Stores;
  now: () => Date;
  /** Brings answers of this process that are not in the bucket yet to it. */
  flushLog?: (() => Promise<void>) | undefined;
  /** Has room for scratch files; default: the system's folder. */
  home?: string | undefined;
}

export interface WhyQuery {
  around?: string | undefined;
  row: number;
  model?: string | undefined;
}

/**
 * Why an answer was what it was: from the answer back to the source files, link by link. A link that is damaged or gone is
 * said so, and the walk goes on with what there is. One question is answered at a time, for each may read a lot.
 */
export function createWhy(o: WhyOptions): (requestId: string, query: WhyQuery) => Promise<Why> {
  let turn: Promise<unknown> = Promise.resolve();
  return (requestId, query) => {
    const answered = turn.then(async () => {
      const scratch = await mkdtemp(join(o.home ?? tmpdir(), 'scratch-'));
      try {
        return await explain(o, scratch, requestId, query);
      } finally {
        await rm(scratch, { recursive: true, force: true });
      }
    });
    turn = answered.catch(() => undefined);
    return answered;
  };
}

/** @throws {ProblemError} 404 where there is no such answer, or no such row of it */
async function explain(
  { stores, now: clock, flushLog }: WhyOptions,
  scratch: string,
  requestId: string,
  { around, row, model: wanted }: WhyQuery,
): Promise<Why> {
  const now = clock();
  const aroundMs = around === undefined ? undefined : instantMs(around);
  const context = { logHours: stores.logHours, scratch, now, flushLog };
  const { model, others, sightings } = await findAnswer(context, { requestId, aroundMs, model: wanted });
  const files = await filesAbout(context, model, sightings);
  const db = await openDatabase({ files: [...files.raw, ...files.parquet], ...SMALL, tempDirectory: scratch });
  try {
    await createLogViews(db, model, files, { requestId });
    const answers = await readAnswers(db, model);
    const answer = answers.find((one) => one.row === row);
    if (!answer) throw noSuchRow(requestId, answers, row);
    const chain = await readChain(stores, answer);
    const outcome = await readOutcome(db, model, row, chain.terms, now);
    const scores = await readShadowScores(db, model, row);
    const ofRow = sightings.filter((one) => one.kind === 'answer' && one.row === row);
    const times = new Set(ofRow.map(({ answeredMs }) => answeredMs)).size;
    return {
      requestId,
      model,
      row,
      rows: answers.length,
      others,
      says: summary(answer, answers.length, outcome),
      steps: [
        answerStep(answer, { key: ofRow[0]?.key, times: Math.max(1, times) }, chain.version),
        routeStep(answer),
        ...chain.steps,
        ...shadowSteps(answer, chain.revision, scores),
        labelStep(answer, outcome, { ...files, guessed: chain.guessedTerms }),
      ],
    };
  } finally {
    db.close();
  }
}

function noSuchRow(requestId: string, answers: readonly Answer[], row: number): ProblemError {
  const rows = answers.map((answer) => answer.row);
  const there = rows.length === 1 ? `row ${rows[0]}` : `rows ${rows[0]} to ${rows.at(-1)}`;
  return new ProblemError({
    status: 404,
    type: 'no-such-row',
    title: 'No such row',
    detail: `The request ${requestId} has ${there} in the prediction log, and no row ${row}.`,
    next: 'Rows are counted from 0, in the order of the request.',
  });
}
