import type { Column, Columns, FittedFeature, GraphSpec, Preprocessing } from '../schemas/index.ts';
import { graphColumns } from './graph-columns.ts';

/** Beyond this a vocabulary costs more than its rarest values tell. */
const MAX_VOCABULARY = 10_000;
const MAX_ONE_HOT = 100;
const MIN_ONE_HOT_ROWS = 10;

/**
 * Learns from training rows what the graph needs to turn raw inputs into features.
 *
 * trees   numbers as they are; a text is the rank of its frequency among the texts seen, rarest first, at most the 10,000
 *         most frequent. Ranks by frequency let one split part the common from the rare, and put -1, a text never seen,
 *         beside the rarest, which it most resembles.
 * linear  numbers as (x - mean) / sd, sd of the population, 1 where it is 0; a text is one column for each of at most 100
 *         texts seen in at least 10 rows, the rest being all zeros. Nothing stays missing: numbers take their median
 *         and texts a category of their own, even with `impute: none`.
 *
 * Missing numbers become the median of those present, booleans and texts the most frequent (false, or the first in the
 * alphabet, of equals); 0, or the empty text, where not one is present. The same rows in any order give the same result
 * but for the last bits of mean and sd.
 *
 * @param inputs   training rows, as {@link decodeColumn} gives them
 * @param derived  their derived columns, as {@link derive} gives them
 */
export function fitPreprocessing(
  graph: GraphSpec,
  inputs: Columns,
  derived: Columns,
  scheme: 'trees' | 'linear',
): Preprocessing {
  const features = graphColumns(graph).features.map(({ name, expression, impute }): FittedFeature => {
    const values = derived.columns[name] ?? inputs.columns[name];
    if (!values) throw new RangeError(`fitPreprocessing: no column ${name}`);
    if (expression.type === 'string') return fitCategory(name, texts(name, values), impute, scheme);
    return fitNumber(name, numbers(name, values), expression.type === 'boolean', impute, scheme);
  });
  return { features };
}

/** Names of the matrix's columns: the feature's, or for one-hot columns feature=value. */
export function featureNames({ features }: Preprocessing): string[] {
  return features.flatMap((feature) =>
    feature.kind === 'category' && feature.encoding === 'oneHot'
      ? feature.vocabulary.map((value) => `${feature.name}=${value}`)
      : [feature.name],
  );
}

function fitNumber(
  name: string,
  values: Float64Array,
  isBoolean: boolean,
  impute: boolean,
  scheme: 'trees' | 'linear',
): FittedFeature {
  const present = values.filter((value) => !Number.isNaN(value)).sort();
  const middle = isBoolean ? mostFrequentTruth(present) : median(present);
  if (scheme === 'trees') return { kind: 'number', name, fill: impute ? middle : null };
  const filled = values.map((value) => (Number.isNaN(value) ? middle : value));
  return { kind: 'number', name, fill: middle, ...moments(filled) };
}

function fitCategory(
  name: string,
  values: (string | null)[],
  impute: boolean,
  scheme: 'trees' | 'linear',
): FittedFeature {
  const counts = new Map<string, number>();
  let missing = 0;
  for (const value of values)
    if (value === null || value === '') missing++;
    else counts.set(value, (counts.get(value) ?? 0) + 1);
  const mostFrequentFirst = (): string[] =>
    [...counts].sort(([x, m], [y, n]) => n - m || (x < y ? -1 : 1)).map(([value]) => value);
  const fill = impute ? (mostFrequentFirst()[0] ?? null) : null;
  if (missing > 0) {
    const filled = fill ?? '';
    counts.set(filled, (counts.get(filled) ?? 0) + missing);
  }
  const ordered = mostFrequentFirst();
  if (scheme === 'trees')
    return {
      kind: 'category',
      name,
      vocabulary: ordered.slice(0, MAX_VOCABULARY).reverse(),
      fill,
      encoding: 'ordinal',
    };
  const vocabulary = ordered.filter((value) => counts.get(value)! >= MIN_ONE_HOT_ROWS).slice(0, MAX_ONE_HOT);
  return { kind: 'category', name, vocabulary, fill, encoding: 'oneHot' };
}

function median(sorted: Float64Array): number {
  const n = sorted.length;
  if (n === 0) return 0;
  const upper = sorted[n >> 1]!;
  return n % 2 === 1 ? upper : sorted[n / 2 - 1]! / 2 + upper / 2;
}

function mostFrequentTruth(sorted: Float64Array): number {
  const trues = sorted.reduce((sum, value) => sum + value, 0);
  return trues * 2 > sorted.length ? 1 : 0;
}

/** Mean and population standard deviation, in two passes. */
function moments(values: Float64Array): { mean: number; sd: number } {
  const n = Math.max(1, values.length);
  const mean = values.reduce((sum, value) => sum + value / n, 0);
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2 / n, 0);
  const first = values[0];
  const isConstant = values.every((value) => value === first);
  const sd = Math.sqrt(variance);
  return isConstant || sd === 0 ? { mean: first ?? 0, sd: 1 } : { mean, sd };
}

function numbers(name: string, values: Column): Float64Array {
  if (values instanceof Float64Array) return values;
  throw new RangeError(`fitPreprocessing: ${name} holds texts`);
}

function texts(name: string, values: Column): (string | null)[] {
  if (values instanceof Float64Array) throw new RangeError(`fitPreprocessing: ${name} holds numbers`);
  return values;
}
