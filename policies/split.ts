/**
 * Which rows train, which validate, which test.
 *
 * - A row counts when its label was known at asOf (knownAt at or before it) and it had matured (maturesAt before it: a
 *   date stands for its first moment, and what matures on the day of asOf has not matured yet).
 * - Matured rows stand in order of maturesAt: the first train, the next validate, the last test. So every training
 *   label was final before the first validation row matured, and every part holds short and long horizons.
 * - Rows that mature together stay on one side: a boundary moves past its ties. Twins mature together.
 * - `gap` drops training rows that matured less than that before the earliest validation row was predicted; 0 drops none.
 */

export interface SplitQuestion {
  /** [rows] seconds since 1970, all three. A label that is not known has a knownAt of NaN. */
  predictedAt: Float64Array;
  knownAt: Float64Array;
  maturesAt: Float64Array;
  asOf: number;
  /** Shares of matured rows. */
  valid: number;
  test: number;
  gapSeconds: number;
}

export interface SplitParts {
  /** Row indices, each in order of maturesAt. */
  train: Int32Array;
  valid: Int32Array;
  test: Int32Array;
  /** All matured rows before the gap dropped any: what the refit learns from. */
  matured: Int32Array;
  gapDropped: number;
}

export type SplitAnswer = { ok: true; parts: SplitParts } | { ok: false; because: string };

export const SECONDS_PER_DAY = 86_400;

/** True where the row may be learnt from at asOf. */
export function hasMatured(maturesAt: number, knownAt: number, asOf: number): boolean {
  return maturesAt < asOf && knownAt <= asOf;
}

export function splitRows(question: SplitQuestion): SplitAnswer {
  const { predictedAt, knownAt, maturesAt, asOf } = question;
  const all: number[] = [];
  for (let i = 0; i < maturesAt.length; i++) if (hasMatured(maturesAt[i]!, knownAt[i]!, asOf)) all.push(i);
  const matured = Int32Array.from(all).sort((a, b) => maturesAt[a]! - maturesAt[b]! || a - b);
  const n = matured.length;
  if (n < 10) return { ok: false, because: `${n} of ${maturesAt.length} rows had matured with a known label` };

  const afterTies = (at: number): number => {
    while (at > 0 && at < n && maturesAt[matured[at]!] === maturesAt[matured[at - 1]!]) at++;
    return at;
  };
  const validFrom = afterTies(Math.round(n * (1 - question.valid - question.test)));
  const testFrom = afterTies(Math.max(validFrom, Math.round(n * (1 - question.test))));
  if (validFrom === 0 || validFrom >= testFrom || testFrom >= n)
    return {
      ok: false,
      because: `${n} matured rows have too few different times of maturing to be split in order of them (train ${validFrom}, valid ${testFrom - validFrom}, test ${n - testFrom})`,
    };

  const valid = matured.slice(validFrom, testFrom);
  let train = matured.slice(0, validFrom);
  if (question.gapSeconds > 0) {
    let earliest = Infinity;
    for (const row of valid) earliest = Math.min(earliest, predictedAt[row]!);
    train = train.filter((row) => maturesAt[row]! <= earliest - question.gapSeconds);
    if (train.length === 0)
      return { ok: false, because: `a gap of ${question.gapSeconds / SECONDS_PER_DAY} days leaves no training row` };
  }
  return {
    ok: true,
    parts: { train, valid, test: matured.slice(testFrom), matured, gapDropped: validFrom - train.length },
  };
}

/**
 * Inner edges of the horizon strata, in days: quartiles of maturesAt - predictedAt over all rows predicted before asOf
 * (matured or not, so that short horizons are not over-represented), equal edges merged. A horizon h is in stratum
 * #{edges < h}.
 */
export function strataEdgesDays(predictedAt: Float64Array, maturesAt: Float64Array, asOf: number): number[] {
  const horizons: number[] = [];
  for (let i = 0; i < predictedAt.length; i++)
    if (predictedAt[i]! < asOf && Number.isFinite(maturesAt[i]!))
      horizons.push((maturesAt[i]! - predictedAt[i]!) / SECONDS_PER_DAY);
  if (horizons.length === 0) return [];
  const sorted = Float64Array.from(horizons).sort();
  const edges = [0.25, 0.5, 0.75].map((q) => {
    const at = q * (sorted.length - 1);
    const low = Math.floor(at);
    return sorted[low]! + (at - low) * (sorted[Math.min(low + 1, sorted.length - 1)]! - sorted[low]!);
  });
  return [...new Set(edges)];
}

/** Stratum of one horizon: how many edges lie below it. */
export function stratumOf(horizonDays: number, edgesDays: readonly number[]): number {
  let stratum = 0;
  while (stratum < edgesDays.length && horizonDays > edgesDays[stratum]!) stratum++;
  return stratum;
}
