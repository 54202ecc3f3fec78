import { stripVTControlCharacters } from 'node:util';

export type Cell = string | number | undefined;

/**
 * Rows in aligned columns, two spaces apart; numbers to the right. Where a line would be wider than `width`,
 * its last column is shortened.
 *
 * @example formatTable(['a', 'n'], [['x', 1], ['yy', 20]]) // 'a    n\nx    1\nyy  20'
 */
export function formatTable(
  head: string[],
  rows: Cell[][],
  o: { head?: (text: string) => string; width?: number } = {},
): string {
  const text = (cell: Cell) => (cell === undefined ? '-' : String(cell));
  const long = (cell: string) => stripVTControlCharacters(cell).length;
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => long(text(row[i])))));
  const right = head.map((_, i) => rows.some((row) => typeof row[i] === 'number'));
  const last = head.length - 1;
  const room = o.width === undefined ? Infinity : o.width - widths.slice(0, last).reduce((sum, w) => sum + w + 2, 0);
  const line = (cells: string[]) =>
    cells
      .map((cell, i) => {
        if (i === last && long(cell) > room && room > 10)
          return `${stripVTControlCharacters(cell).slice(0, room - 1)}…`;
        const pad = ' '.repeat(Math.max(0, widths[i]! - long(cell)));
        return right[i] ? pad + cell : cell + pad;
      })
      .join('  ')
      .trimEnd();
  const style = o.head ?? ((plain: string) => plain);
  return [style(line(head)), ...rows.map((row) => line(head.map((_, i) => text(row[i]))))].join('\n');
}
