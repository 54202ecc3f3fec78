/** Shadow trials by the thousand: what a log of requests and late labels would have made of a trial, looked at every day. */
import {
  confidenceRadius,
  LEAST_BLOCKS,
  mixtureParameter,
  normalQuantile,
  stratifiedBand,
  type Band,
  type Cell,
  type Random,
} from '../../numerics/index.ts';
import { judgeShadow } from '../../policies/index.ts';
import { ShadowPlan, type EvidenceCell, type MaturityCell, type ShadowEvidence } from '../../schemas/index.ts';

/**
 * Requests of a trial, in groups of one day, one horizon stratum and one day on which their outcome counts. Differences are
 * the champion's loss less the challenger's.
 */
export interface TrialLog {
  /** Of the first request, since 1970. */
  firstDay: number;
  /** Looks: one at the end of each. */
  days: number;
  strata: number;
  groups: LogGroup[];
}

export interface LogGroup {
  /** From the first, 0. */
  day: number;
  /** First look that has the outcomes: matured, and known. */
  dueDay: number;
  stratum: number;
  rows: number;
  sum: number;
  sumOfSquares: number;
}

export type Unit = 'request' | 'day' | 'week';

export interface TrialTerms {
  unit: Unit;
  alpha: number;
  minimumEffect: number;
  maxUnseen: number;
  /** In weeks; in days and requests as much of time. */
  tightestAt: number;
}

/** The least that a plan may have: equal models are called better as easily as can be. */
export const A_A: TrialTerms = { unit: 'week', alpha: 0.05, minimumEffect: 1e-9, maxUnseen: 0.1, tightestAt: 26 };

/** 1970-01-05 was a Monday. */
export const weekOf = (day: number): number => Math.floor((day - 4) / 7);

/** [days] +1 or -1, the same over `weeks` whole weeks of the calendar. */
export function flippedSigns(log: TrialLog, weeks: number, random: Random): Int8Array {
  const signs = new Int8Array(log.days);
  let period = NaN;
  let sign = 1;
  for (let day = 0; day < log.days; day++) {
    const now = Math.floor(weekOf(log.firstDay + day) / weeks);
    if (now !== period) sign = random.float() < 0.5 ? -1 : 1;
    period = now;
    signs[day] = sign;
  }
  return signs;
}

/**
 * Day of the first look that says pass; undefined where none does. Computed from sums, as thousands of trials want it;
 * `checkAgainstPolicy` holds it against the policy.
 *
 * @param signs   [days] of flippedSigns: all of a week's differences change sides together. Absent: as they are
 * @param effect  added to every difference
 */
export function firstPass(log: TrialLog, terms: TrialTerms, signs?: Int8Array, effect = 0): number | undefined {
  const { strata, days } = log;
  const { unit, alpha, minimumEffect, maxUnseen } = terms;
  const { asked, due, rowsPerWeek } = byDays(log);
  const perWeek = { request: rowsPerWeek, day: 7, week: 1 }[unit];
  const r = mixtureParameter(terms.tightestAt * perWeek, alpha);
  const from = blockOf(log, unit, 0);
  const blocks = unit === 'request' ? 0 : blockOf(log, unit, days - 1) - from + 1;
  const N = new Float64Array(blocks * strata);
  const S = new Float64Array(blocks * strata);
  const requests = new Float64Array(strata);
  const rows = new Float64Array(strata);
  const sums = new Float64Array(strata);
  const squares = new Float64Array(strata);
  const filled = new Float64Array(strata);
  const weights = new Float64Array(strata);
  let all = 0;
  for (let day = 0; day < days; day++) {
    for (const group of asked[day]!) {
      requests[group.stratum]! += group.rows;
      all += group.rows;
    }
    for (const group of due[day]!) {
      const { sum, sumOfSquares } = changed(group, signs, effect);
      const h = group.stratum;
      rows[h]! += group.rows;
      sums[h]! += sum;
      squares[h]! += sumOfSquares;
      if (unit === 'request') {
        filled[h]! += group.rows;
        continue;
      }
      const at = (blockOf(log, unit, group.day) - from) * strata + h;
      if (N[at] === 0) filled[h]!++;
      N[at]! += group.rows;
      S[at]! += sum;
    }
    let seen = 0;
    for (let h = 0; h < strata; h++) if (filled[h]! >= LEAST_BLOCKS) seen += requests[h]!;
    if (seen === 0 || Math.max(0, 1 - seen / all) > maxUnseen) continue;
    let mean = 0;
    for (let h = 0; h < strata; h++) {
      weights[h] = filled[h]! >= LEAST_BLOCKS ? requests[h]! / seen / rows[h]! : 0;
      mean += weights[h]! * sums[h]!;
    }
    // A lower bound is below its mean.
    if (mean <= minimumEffect) continue;
    let n = 0;
    let psiSquares = 0;
    if (unit === 'request')
      for (let h = 0; h < strata; h++) {
        if (weights[h] === 0) continue;
        n += rows[h]!;
        psiSquares += weights[h]! ** 2 * Math.max(0, squares[h]! - sums[h]! ** 2 / rows[h]!);
      }
    for (let block = 0; block < blocks; block++) {
      let psi = 0;
      let isThere = 0;
      for (let h = 0; h < strata; h++) {
        const at = block * strata + h;
        if (weights[h] === 0 || N[at] === 0) continue;
        isThere = 1;
        psi += weights[h]! * (S[at]! - (sums[h]! / rows[h]!) * N[at]!);
      }
      n += isThere;
      psiSquares += psi * psi;
    }
    const s = Math.sqrt((psiSquares * n * n) / (n - 1));
    if (s > 0 && mean - confidenceRadius(n, s, r, alpha, 1) > minimumEffect) return day;
  }
  return undefined;
}

function changed(group: LogGroup, signs: Int8Array | undefined, effect: number): { sum: number; sumOfSquares: number } {
  const flipped = (signs?.[group.day] ?? 1) * group.sum;
  return {
    sum: flipped + effect * group.rows,
    sumOfSquares: group.sumOfSquares + 2 * effect * flipped + effect * effect * group.rows,
  };
}

/**
 * Asks the policy that judges real trials, on evidence as a look has it.
 *
 * @param found  what firstPass said
 * @param every  on each day up to that one, or the last; else on that one only
 * @throws {Error} if the policy says something else
 */
export function checkAgainstPolicy(
  log: TrialLog,
  terms: TrialTerms,
  found: number | undefined,
  o: { signs?: Int8Array; effect?: number; every: boolean },
): void {
  const plan = planOf(log, terms);
  const last = found ?? log.days - 1;
  for (let day = o.every ? 0 : last; day <= last; day++) {
    const { verdict } = judgeShadow(plan, evidenceOf(log, terms, day, o.signs, o.effect));
    if ((verdict.says === 'pass') !== (day === found))
      throw new Error(
        `day ${day}: the simulation says ${day === found ? 'better' : 'nothing'}, the policy ${verdict.says}: ${verdict.because}`,
      );
  }
}

function evidenceOf(
  log: TrialLog,
  { unit }: TrialTerms,
  day: number,
  signs: Int8Array | undefined,
  effect = 0,
): ShadowEvidence {
  const maturity = new Map<string, MaturityCell>();
  const cells = new Map<string, EvidenceCell>();
  for (const group of log.groups) {
    if (group.day > day) continue;
    const { stratum, rows } = group;
    const block = blockOf(log, unit, group.day);
    const key = `${block} ${stratum}`;
    let known = maturity.get(key);
    if (!known)
      maturity.set(
        key,
        (known = {
          block,
          stratum,
          requests: 0,
          matured: 0,
          labelled: 0,
          early: 0,
          overdue: 0,
          twiceOverdue: 0,
          unscored: 0,
        }),
      );
    known.requests += rows;
    if (group.dueDay > day) continue;
    known.matured += rows;
    known.labelled += rows;
    let cell = cells.get(key);
    if (!cell) cells.set(key, (cell = { measure: 'loss', block, stratum, rows: 0, sum: 0, sumOfSquares: 0 }));
    const { sum, sumOfSquares } = changed(group, signs, effect);
    cell.rows += rows;
    cell.sum += sum;
    cell.sumOfSquares += sumOfSquares;
  }
  return {
    kind: 'shadow',
    asOf: dateOf(log, day),
    finalBefore: 0,
    maturity: [...maturity.values()],
    cells: [...cells.values()],
    undated: 0,
    restated: [],
    scores: [],
  };
}

function planOf(log: TrialLog, terms: TrialTerms): ShadowPlan {
  return ShadowPlan.parse({
    kind: 'shadow',
    stage: { kind: 'shadow', alpha: terms.alpha, maxUnseen: terms.maxUnseen, block: terms.unit },
    champion: 1,
    challenger: 2,
    from: dateOf(log, 0),
    loss: 'logLoss',
    minimumEffect: terms.minimumEffect,
    tightestAt: terms.unit === 'day' ? 7 * terms.tightestAt : terms.tightestAt,
    strataEdgesDays: Array.from({ length: log.strata - 1 }, (_, h) => h + 1),
    logTime: true,
  });
}

function blockOf(log: TrialLog, unit: Unit, day: number): number {
  return unit === 'week' ? weekOf(log.firstDay + day) : log.firstDay + day;
}

const dateOf = (log: TrialLog, day: number): string => new Date((log.firstDay + day) * 86_400_000).toISOString();

interface Listed {
  /** [days] groups by the day of their requests, and by the first look that has their outcomes. */
  asked: LogGroup[][];
  due: LogGroup[][];
  rowsPerWeek: number;
}

const listed = new WeakMap<TrialLog, Listed>();

function byDays(log: TrialLog): Listed {
  const known = listed.get(log);
  if (known) return known;
  const asked = Array.from({ length: log.days }, (): LogGroup[] => []);
  const due = Array.from({ length: log.days }, (): LogGroup[] => []);
  let rows = 0;
  for (const group of log.groups) {
    asked[group.day]?.push(group);
    due[Math.max(group.day, group.dueDay)]?.push(group);
    rows += group.rows;
  }
  const found = { asked, due, rowsPerWeek: rows / (log.days / 7) };
  listed.set(log, found);
  return found;
}

/** The band by week at the end of each day that has one. */
export function bandsOf(log: TrialLog, { alpha, tightestAt }: TrialTerms): { day: number; band: Band }[] {
  const { asked, due } = byDays(log);
  const shares = new Float64Array(log.strata);
  const cells: Cell[] = [];
  const bands: { day: number; band: Band }[] = [];
  for (let day = 0; day < log.days; day++) {
    for (const { stratum, rows } of asked[day]!) shares[stratum]! += rows;
    for (const group of due[day]!) cells.push({ ...group, block: blockOf(log, 'week', group.day) });
    if (cells.length === 0) continue;
    const band = stratifiedBand(cells, shares, { alpha, sides: 1, r: mixtureParameter(tightestAt, alpha) });
    if (band) bands.push({ day, band });
  }
  return bands;
}

/**
 * The test that people run today: all requests of two weeks, once their labels are there, and a one-sided t-test of them.
 *
 * @param from  its first day
 */
export function fixedTwoWeekTest(
  log: TrialLog,
  alpha: number,
  o: { from?: number; signs?: Int8Array; effect?: number },
): boolean {
  const { from = 0, signs, effect = 0 } = o;
  let n = 0;
  let total = 0;
  let squares = 0;
  const { asked } = byDays(log);
  for (let day = from; day < from + 14; day++)
    for (const { rows, sum, sumOfSquares } of asked[day]!) {
      const flipped = (signs?.[day] ?? 1) * sum;
      n += rows;
      total += flipped + effect * rows;
      squares += sumOfSquares + 2 * effect * flipped + effect * effect * rows;
    }
  const mean = total / n;
  const standardError = Math.sqrt((squares / n - mean * mean) / (n - 1));
  return mean > normalQuantile(1 - alpha) * standardError;
}

export interface SyntheticOptions {
  days: number;
  requestsPerDay: number;
  /** Of what all requests of a day have in common, in sd of one request. */
  daySd: number;
  /** And those of a week. */
  weekSd: number;
  /** Share of requests that repeat another one of the same day to the letter. */
  twins: number;
  /** Shares of the horizon strata, and the least and the most days until a label counts. */
  strata: { share: number; days: [number, number] }[];
}

/** Horizons such as those of the bookings. */
export const LATE_LABELS: SyntheticOptions['strata'] = [
  { share: 0.25, days: [15, 31] },
  { share: 0.3, days: [32, 88] },
  { share: 0.35, days: [89, 150] },
  { share: 0.1, days: [151, 200] },
];
export const LABELS_NEXT_DAY: SyntheticOptions['strata'] = [{ share: 1, days: [1, 1] }];

/** 1,000 weeks after the first Monday. */
const SOME_MONDAY = 4 + 7000;

/** Two models that are equal on the whole: normal differences, with all that makes rows less than independent. */
export function syntheticLog(o: SyntheticOptions, random: Random): TrialLog {
  const groups: LogGroup[] = [];
  let week = 0;
  // Twins come in groups of TWINS; a group's rows are one draw, so a sum varies as if rows were that many times wider.
  const clumping = 1 - o.twins + o.twins * TWINS;
  for (let day = 0; day < o.days; day++) {
    if (day % 7 === 0) week = o.weekSd * normal(random);
    const common = week + o.daySd * normal(random);
    o.strata.forEach(({ share, days: [least, most] }, stratum) => {
      const expected = o.requestsPerDay * share;
      const rows = Math.max(1, Math.round(expected + Math.sqrt(expected) * normal(random)));
      const parts = Math.min(PARTS, most - least + 1, rows);
      for (let part = 0; part < parts; part++) {
        const own = Math.floor(((part + 1) * rows) / parts) - Math.floor((part * rows) / parts);
        const wait = least + Math.floor(random.float() * (most - least + 1));
        const sum = common * own + Math.sqrt(own * clumping) * normal(random);
        const sumOfSquares = own * (1 + common * common);
        groups.push({ day, dueDay: day + wait, stratum, rows: own, sum, sumOfSquares });
      }
    });
  }
  return { firstDay: SOME_MONDAY, days: o.days, strata: o.strata.length, groups };
}

const TWINS = 4;
/** Times of maturing of one day's stratum: enough for labels to come in bit by bit. */
const PARTS = 4;

/** Box and Muller. */
export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.float())) * Math.cos(2 * Math.PI * random.float());
}
