/**
 * The ground-truth clock: how much of the truth is known, how much was to be expected by now, and what was corrected.
 *
 * - Coverage is the rows with an outcome, of those that are due. Outcomes that came early count nowhere.
 * - A row is due a day after it has matured, so that labels have had the time to arrive.
 * - More than 2 % of a block's due rows without an outcome, where silence means nothing: no data. A block is judged from 50
 *   due rows on; those of fewer are judged together.
 * - More than 5 % of the due rows without a score of both versions: no data.
 * - A row whose maturing date cannot be told never matures, and counts as unseen.
 * - Blocks that say something else than at the look before are named, with what changed.
 */
import type { MaturityCell, RuleResult, ShadowEvidence } from '../schemas/index.ts';
import { blockName, count, grouped, percent, read, show } from './words.ts';

const MOST_OVERDUE = 0.02;
/** Of fewer, a single one would be above it: one outcome that was lost must not stop a trial for good. */
const LEAST_DUE = 1 / MOST_OVERDUE;
const MOST_UNSCORED = 0.05;
const MOST_NAMED = 3;

export type BlockUnit = 'week' | 'day';

export interface Maturity {
  /** All, those that never mature included. */
  requests: number;
  due: number;
  labelled: number;
  early: number;
  overdue: number;
  twiceOverdue: number;
  unscored: number;
  /** labelled / due; undefined where nothing is due. */
  coverage: number | undefined;
  /** due / requests; undefined without a request. */
  expectedCoverage: number | undefined;
}

export function maturityOf({ maturity, undated }: Pick<ShadowEvidence, 'maturity' | 'undated'>): Maturity {
  const total = (field: 'requests' | 'matured' | 'labelled' | 'early' | 'overdue' | 'twiceOverdue' | 'unscored') =>
    maturity.reduce((sum, cell) => sum + read(cell[field]), 0);
  const requests = total('requests') + read(undated);
  const due = total('matured');
  const labelled = total('labelled');
  return {
    requests,
    due,
    labelled,
    early: total('early'),
    overdue: total('overdue'),
    twiceOverdue: total('twiceOverdue'),
    unscored: total('unscored'),
    coverage: ratio(labelled, due),
    expectedCoverage: ratio(due, requests),
  };
}

const ratio = (part: number, whole: number): number | undefined => {
  const found = part / whole;
  return Number.isFinite(found) ? found : undefined;
};

/** All requests of the trial by horizon stratum, and last those that never mature: a stratum that nobody will see. */
export function sharesOf(
  { maturity, undated }: Pick<ShadowEvidence, 'maturity' | 'undated'>,
  strata: number,
  requestsOf: (cell: MaturityCell) => number = (cell) => cell.requests,
): number[] {
  const shares = Array.from({ length: strata }, () => 0);
  for (const cell of maturity) {
    const isKnown = Number.isInteger(cell.stratum) && cell.stratum >= 0 && cell.stratum < strata;
    // A stratum that the plan does not know makes a share no number, and so no data.
    shares[isKnown ? cell.stratum : 0]! += isKnown ? read(requestsOf(cell)) : NaN;
  }
  return [...shares, read(undated)];
}

export interface CoverageOfBlock {
  block: number;
  requests: number;
  due: number;
  labelled: number;
  /** labelled / due; undefined where nothing is due. */
  coverage: number | undefined;
  /** due / requests. Over the blocks, the newest first, it is the curve that a new block is expected to follow. */
  expected: number | undefined;
}

/** The expected coverage curve: block by block, oldest first. */
export function coverageByBlock(maturity: readonly MaturityCell[]): CoverageOfBlock[] {
  const blocks = new Map<number, { requests: number; due: number; labelled: number }>();
  for (const { block, requests, matured, labelled } of maturity) {
    const sums = blocks.get(block) ?? { requests: 0, due: 0, labelled: 0 };
    blocks.set(block, {
      requests: sums.requests + read(requests),
      due: sums.due + read(matured),
      labelled: sums.labelled + read(labelled),
    });
  }
  return [...blocks]
    .sort(([a], [b]) => a - b)
    .map(([block, sums]) => ({
      block,
      ...sums,
      coverage: ratio(sums.labelled, sums.due),
      expected: ratio(sums.due, sums.requests),
    }));
}

/** Whether outcomes are there where they are due. */
export function labelsRule(evidence: ShadowEvidence, unit: BlockUnit): RuleResult {
  const rule = 'labels';
  const { due, labelled, overdue } = maturityOf(evidence);
  if (!Number.isFinite(due + labelled + overdue))
    return { rule, says: 'no-data', because: 'due rows and their outcomes were not all counted' };
  if (due < 1) return { rule, says: 'no-data', because: 'no row is due yet: nothing has matured' };
  const worst = worstBlock(evidence.maturity);
  if (worst && worst.overdue / worst.due > MOST_OVERDUE)
    return {
      rule,
      says: 'no-data',
      because: `${grouped(worst.overdue)} of ${grouped(worst.due)} due rows of ${
        worst.block === undefined
          ? `the ${unit}s with fewer than ${LEAST_DUE} of them`
          : `the ${unit === 'day' ? 'day ' : ''}${blockName(worst.block, unit)}`
      } (${percent(worst.overdue / worst.due)}) have no outcome, at most ${percent(MOST_OVERDUE)} may lack one`,
    };
  const restated = restatedInWords(evidence.restated, unit);
  return {
    rule,
    says: 'pass',
    because: `${grouped(labelled)} of ${grouped(due)} due rows have an outcome (${percent(labelled / due)}), at most ${percent(MOST_OVERDUE)} of a ${unit} may be overdue${restated === undefined ? '' : `; ${restated}`}`,
  };
}

interface Late {
  /** Absent: those of fewer than LEAST_DUE due rows, together. */
  block?: number;
  overdue: number;
  due: number;
}

/** Of those that can be judged; undefined where none can. */
function worstBlock(maturity: readonly MaturityCell[]): Late | undefined {
  const blocks = new Map<number, Late & { block: number }>();
  for (const { block, overdue, matured } of maturity) {
    const sums = blocks.get(block) ?? { block, overdue: 0, due: 0 };
    blocks.set(block, { block, overdue: sums.overdue + overdue, due: sums.due + matured });
  }
  const oldestFirst = [...blocks.values()].sort((a, b) => a.block - b.block);
  const small: Late = { overdue: 0, due: 0 };
  for (const { overdue, due } of oldestFirst.filter((one) => one.due < LEAST_DUE)) {
    small.overdue += overdue;
    small.due += due;
  }
  return [...oldestFirst, small]
    .filter(({ due }) => due >= LEAST_DUE)
    .reduce<Late | undefined>(
      (worst, one) => (worst && worst.overdue / worst.due >= one.overdue / one.due ? worst : one),
      undefined,
    );
}

/** Whether both versions have scored what is due. */
export function scoresRule(evidence: ShadowEvidence): RuleResult {
  const rule = 'scores';
  const { due, unscored } = maturityOf(evidence);
  const share = unscored / Math.max(1, due);
  if (!Number.isFinite(share)) return { rule, says: 'no-data', because: 'rows without a score were not counted' };
  return {
    rule,
    says: share > MOST_UNSCORED ? 'no-data' : 'pass',
    because: `${grouped(unscored)} of ${grouped(due)} due rows (${percent(share)}) have no score of both versions, at most ${percent(MOST_UNSCORED)} may lack one`,
  };
}

/** Corrections since the look before; undefined where there are none. */
export function restatedInWords(restated: ShadowEvidence['restated'], unit: BlockUnit): string | undefined {
  if (restated.length === 0) return undefined;
  const oldestFirst = restated.toSorted((a, b) => a.block - b.block);
  const named = oldestFirst
    .slice(0, MOST_NAMED)
    .map(
      ({ block, rows, sum }) => `${blockName(block, unit)}: ${signed(rows, grouped)} rows, loss ${signed(sum, show)}`,
    );
  const more = restated.length - named.length;
  return `${count(restated.length, unit)} restated since the look before (${named.join('; ')}${more > 0 ? `; and ${more} more` : ''})`;
}

const signed = (value: number, say: (value: number) => string): string =>
  Number.isFinite(value) ? `${value < 0 ? '-' : '+'}${say(Math.abs(value))}` : 'changed by an unknown amount';

/** Share of the due rows that are late by as much as they took to mature; undefined where that cannot be told. */
export const twiceOverdueShare = (evidence: ShadowEvidence): number | undefined => {
  const { twiceOverdue, due } = maturityOf(evidence);
  return ratio(twiceOverdue, due);
};

export { MOST_OVERDUE };
