/** Tables for people. */
export function printTable(head: string[], rows: string[][]): void {
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]!.length)));
  for (const row of [head, ...rows])
    process.stdout.write(
      `${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')}\n`,
    );
}

export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** Smallest value that at least half of them reach; undefined where fewer than half of `of` are there. */
export function medianOf(found: readonly number[], of: number): number | undefined {
  return [...found].sort((a, b) => a - b)[Math.ceil(of / 2) - 1];
}
