import fc from 'fast-check';
import { expect } from 'vitest';
import type { Judgement } from '../../policies/index.ts';
import {
  Stage,
  type EvidenceCell,
  type MaturityCell,
  type ShadowEvidence,
  type ShadowPlan,
  type Stage as AnyStage,
} from '../../schemas/index.ts';

/** A judgement as a person would read it. */
export const told = ({ rules, verdict }: Judgement) => ({
  verdict: `${verdict.says}${verdict.limitedBy === undefined ? '' : ` (${verdict.limitedBy})`}: ${verdict.because}`,
  rules: rules.map(({ rule, says, because }) => `${rule} ${says}: ${because}`),
});

/** What holds of every judgement: reasons for people, figures that are numbers, and no pass beside what is open. */
export function holds({ rules, figures, verdict }: Judgement): void {
  for (const { says, because } of [...rules, verdict]) {
    expect(because).not.toBe('');
    if (says !== 'no-data') expect(because).not.toMatch(/NaN|Infinity|undefined|null/);
  }
  if (verdict.says === 'pass')
    expect(rules.map(({ says }) => says).filter((says) => ['fail', 'undecided', 'no-data'].includes(says))).toEqual([]);
  else expect(rules.map(({ rule }) => rule)).toContain(verdict.limitedBy);
  for (const figure of figures)
    for (const value of Object.values(figure)) if (typeof value === 'number') expect(value).toSatisfy(Number.isFinite);
}

/** A stage with its defaults. */
export const stage = <K extends AnyStage['kind']>(kind: K, over: object = {}) =>
  Stage.parse({ kind, ...over }) as Extract<AnyStage, { kind: K }>;

/** 2016-07-04. */
export const FIRST_WEEK = 2426;

export const shadowPlan = (over: object = {}, plan: Partial<ShadowPlan> = {}): ShadowPlan => ({
  kind: 'shadow',
  stage: stage('shadow', over),
  champion: 1,
  challenger: 2,
  from: '2016-07-01T00:00:00.000Z',
  loss: 'logLoss',
  minimumEffect: 0.01,
  tightestAt: 16,
  strataEdgesDays: [],
  logTime: false,
  changed: [],
  ...plan,
});

/** Blocks of 100 rows whose means swing about `mean`. */
export const cellsOf = (
  measure: string,
  blocks: number,
  mean: number,
  swing = 0.01,
  { stratum = 0, from = FIRST_WEEK, rows = 100 } = {},
): EvidenceCell[] =>
  Array.from({ length: blocks }, (_, i) => ({
    measure,
    block: from + i,
    stratum,
    rows,
    sum: rows * (mean + (i % 2 === 0 ? swing : -swing)),
    sumOfSquares: rows * (0.01 + mean ** 2 + swing ** 2),
  }));

export const maturityOf = (blocks: number, over: Partial<MaturityCell> = {}): MaturityCell[] =>
  Array.from({ length: blocks }, (_, i) => ({
    block: FIRST_WEEK + i,
    stratum: 0,
    requests: 110,
    matured: 100,
    labelled: 100,
    early: 2,
    overdue: 0,
    twiceOverdue: 0,
    unscored: 0,
    ...over,
  }));

export const shadowEvidence = (cells: EvidenceCell[], over: Partial<ShadowEvidence> = {}): ShadowEvidence => ({
  kind: 'shadow',
  asOf: '2016-12-01T00:00:00.000Z',
  finalBefore: 0,
  maturity: maturityOf(20),
  cells,
  undated: 0,
  lastRequestAt: '2016-11-30T00:00:00.000Z',
  restated: [],
  scores: [],
  ...over,
});

/** What JSON may hold where a number is expected: also what is none. */
export const anyNumber = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 2000 }) },
  { weight: 1, arbitrary: fc.double() },
  {
    weight: 1,
    arbitrary: fc.constantFrom(NaN, Infinity, -1, 0.5, null as unknown as number, undefined as unknown as number),
  },
);
export const anyCount = fc.integer({ min: 0, max: 2000 });
export const anyInstant = fc
  .oneof(fc.integer({ min: 0, max: 400 }), fc.constant(NaN))
  .map((day) => (Number.isNaN(day) ? 'no date' : new Date(Date.UTC(2016, 6, 1) + day * 86_400_000).toISOString()));
