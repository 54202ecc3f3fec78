export interface Psi {
  /** In nats, as Evidently has it: at least 0, and above it even where nothing has changed. */
  psi: number;
  /** What is left when its mean under no change is taken away: near 0, and below it half the time, where nothing has changed. */
  excess: number;
  /** Bins that hold a row of either side. */
  bins: number;
}

/**
 * Population stability index: how far current rows have moved from the reference.
 *
 *   PSI = Σ (r − c) ln(r / c)
 *   excess = PSI − (B − 1)(1 / n₁ + 1 / n₂)
 *
 * An empty bin counts as a share of 0.0001, or, where the smallest share of that side that is not 0 is no more than
 * that, as a millionth of it. O(bins).
 *
 * @param reference  [bins] rows
 * @param current    [bins] rows, same bins
 * @throws {RangeError} if bin counts differ, a side has no rows, or a count is no whole number
 * @see Evidently 0.7, legacy/calculations/stattests/psi.py and utils.py
 * @see Yurdakul 2018, "Statistical properties of population stability index", for the mean without change
 * @example psiOfCounts([50, 50], [70, 30]).psi // 0.1695
 */
export function psiOfCounts(reference: ArrayLike<number>, current: ArrayLike<number>): Psi {
  if (reference.length !== current.length)
    throw new RangeError(`psi: ${reference.length} reference bins, ${current.length} current bins`);
  const r = filledShares('reference', reference);
  const c = filledShares('current', current);
  let psi = 0;
  let bins = 0;
  for (let i = 0; i < reference.length; i++) {
    psi += (r.shares[i]! - c.shares[i]!) * Math.log(r.shares[i]! / c.shares[i]!);
    if (reference[i]! > 0 || current[i]! > 0) bins++;
  }
  return { psi, excess: psi - (bins - 1) * (1 / r.rows + 1 / c.rows), bins };
}

/**
 * The same of numbers. More than 20 distinct reference values: bins of equal width over both sides, as many as Sturges
 * has it; else each value is a bin. NaN is missing, and left out. O(n log n).
 *
 * @throws {RangeError} if a side has no number, or one that is infinite
 * @see numpy.histogram_bin_edges, bins="sturges"
 */
export function psiOfNumbers(reference: ArrayLike<number>, current: ArrayLike<number>): Psi {
  const [r, c] = [presentIn('reference', reference), presentIn('current', current)];
  if (new Set(r).size <= MOST_VALUES) return psiOfValues(r, c);
  const edges = sturgesEdges(r, c);
  return psiOfCounts(histogram(r, edges), histogram(c, edges));
}

/**
 * The same of categories, each a bin. null is missing, and left out.
 *
 * @throws {RangeError} if a side has none
 */
export function psiOfCategories(reference: readonly (string | null)[], current: readonly (string | null)[]): Psi {
  return psiOfValues(
    reference.filter((value) => value !== null),
    current.filter((value) => value !== null),
  );
}

const MOST_VALUES = 20;
const EMPTY = 0.0001;

function filledShares(side: string, counts: ArrayLike<number>): { shares: Float64Array; rows: number } {
  let rows = 0;
  for (let i = 0; i < counts.length; i++) {
    if (!(Number.isSafeInteger(counts[i]) && counts[i]! >= 0))
      throw new RangeError(`psi: ${counts[i]} ${side} rows in bin ${i}`);
    rows += counts[i]!;
  }
  if (rows === 0) throw new RangeError(`psi: no ${side} rows`);
  const shares = Float64Array.from(counts, (count) => count / rows);
  const least = shares.reduce((found, share) => (share > 0 && share < found ? share : found), 1);
  const fill = least <= EMPTY ? least / 1e6 : EMPTY;
  return { shares: shares.map((share) => (share === 0 ? fill : share)), rows };
}

function presentIn(side: string, values: ArrayLike<number>): Float64Array {
  const present = Float64Array.from(values).filter((value) => !Number.isNaN(value));
  for (const value of present) if (!Number.isFinite(value)) throw new RangeError(`psi: ${value} in the ${side} rows`);
  return present;
}

function psiOfValues<T>(reference: Iterable<T>, current: Iterable<T>): Psi {
  const places = new Map<T, number>();
  const counts: [number[], number[]] = [[], []];
  for (const [side, values] of [reference, current].entries())
    for (const value of values) {
      let place = places.get(value);
      if (place === undefined) {
        places.set(value, (place = places.size));
        counts[0].push(0);
        counts[1].push(0);
      }
      counts[side]![place]!++;
    }
  return psiOfCounts(...counts);
}

/** Every operation in numpy's order, so that no value at an edge falls on the other side. */
function sturgesEdges(reference: Float64Array, current: Float64Array): Float64Array {
  let low = Infinity;
  let high = -Infinity;
  for (const values of [reference, current])
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  const width = (high - low) / (Math.log2(reference.length + current.length) + 1);
  const bins = Math.ceil((high - low) / width);
  const step = (high - low) / bins;
  return Float64Array.from({ length: bins + 1 }, (_, i) => (i === bins ? high : i * step + low));
}

/** [edges - 1] rows from each edge up to the next, the last included. */
function histogram(values: Float64Array, edges: Float64Array): number[] {
  const counts = Array.from({ length: edges.length - 1 }, () => 0);
  for (const value of values) {
    let low = 0;
    let high = counts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (edges[middle]! <= value) low = middle;
      else high = middle;
    }
    counts[low]!++;
  }
  return counts;
}
