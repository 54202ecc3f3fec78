/**
 * The names nearest to a mistyped one, best first, for "did you mean".
 *
 * Distance is optimal string alignment (insert, delete, replace, swap neighbours); a name is near when
 * the distance is at most a third of the longer length (at least 2), or when one begins with the other.
 *
 * @example nearest('hotel-cancelations', ['churn', 'hotel-cancellations']) // ['hotel-cancellations']
 */
export function nearest(given: string, names: readonly string[], most = 3): string[] {
  return names
    .map((name) => ({ name, distance: editDistance(given, name) }))
    .filter(
      ({ name, distance }) =>
        distance <= Math.max(2, Math.floor(Math.max(given.length, name.length) / 3)) ||
        (given.length >= 2 && name.startsWith(given)) ||
        (name.length >= 2 && given.startsWith(name)),
    )
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, most)
    .map(({ name }) => name);
}

/** " Did you mean a or b?", or "" where nothing is near. */
export function didYouMean(given: string, names: readonly string[]): string {
  const near = nearest(given, names);
  if (near.length === 0) return '';
  return ` Did you mean ${near.length === 1 ? near[0] : `${near.slice(0, -1).join(', ')} or ${near.at(-1)}`}?`;
}

function editDistance(a: string, b: string): number {
  const width = b.length + 1;
  const d = new Uint16Array((a.length + 1) * width);
  for (let i = 0; i <= a.length; i++) d[i * width] = i;
  for (let j = 0; j <= b.length; j++) d[j] = j;
  for (let i = 1; i <= a.length; i++)
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(d[(i - 1) * width + j]! + 1, d[i * width + j - 1]! + 1, d[(i - 1) * width + j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, d[(i - 2) * width + j - 2]! + 1);
      d[i * width + j] = best;
    }
  return d[a.length * width + b.length]!;
}
