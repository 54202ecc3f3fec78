import type { Column, ReferenceHistogram } from '../../schemas/index.ts';

const BINS = 10;
const MOST_CATEGORIES = 20;

/** What training rows looked like, column by column: deciles of a number, the 20 most frequent categories. */
export function referenceHistogram(column: Column): ReferenceHistogram {
  return column instanceof Float64Array ? ofNumbers(column) : ofCategories(column);
}

function ofNumbers(column: Float64Array): ReferenceHistogram {
  const present = column.filter((x) => !Number.isNaN(x)).sort();
  const inner = Array.from({ length: BINS - 1 }, (_, i) => present[Math.floor(((i + 1) * present.length) / BINS)]!);
  const edges = present.length === 0 ? [] : [...new Set(inner)];
  const counts = new Array<number>(edges.length + 1).fill(0);
  for (const x of present) counts[edges.filter((edge) => x >= edge).length]!++;
  return { kind: 'number', edges, counts, missing: column.length - present.length };
}

function ofCategories(column: (string | null)[]): ReferenceHistogram {
  const counts = new Map<string, number>();
  let missing = 0;
  for (const value of column)
    if (value === null) missing++;
    else counts.set(value, (counts.get(value) ?? 0) + 1);
  const sorted = [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
  const kept = sorted.slice(0, MOST_CATEGORIES);
  return {
    kind: 'category',
    values: kept.map(([value]) => value),
    counts: kept.map(([, n]) => n),
    rest: sorted.slice(MOST_CATEGORIES).reduce((sum, [, n]) => sum + n, 0),
    missing,
  };
}
