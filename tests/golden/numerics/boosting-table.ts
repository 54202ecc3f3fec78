import type { TrainingData } from '../../../numerics/training-data.ts';

/** The tables of boosting.py, number for number: integer hashes and exact arithmetic only. */

/** Uniform on [0, 1): a hash of row and column. */
function uniform(row: number, column: number): number {
  let h = (Math.imul(row, 0x9e3779b1) + Math.imul(column, 0x85ebca77) + 0x27d4eb2f) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
}

const COLUMNS = 8;

/** Rows `from` … `to` − 1: continuous, integer, skewed and partly missing columns with an interaction. */
export function boostingTable(task: 'binary' | 'multiclass' | 'regression', from: number, to: number): TrainingData {
  const rows = to - from;
  const values = new Float32Array(COLUMNS * rows);
  const labels = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    const u = (column: number): number => uniform(from + i, column);
    const x = [u(0), u(1), Math.floor(u(2) * 12), u(3) * u(3) * u(3), u(4), u(5), Math.floor(u(6) * 300), u(7)];
    const missing = [0, 0, 0, 0, 0.2, 0.05, 0, 0];
    const absent = x.map((_, c) => u(20 + c) < missing[c]!);
    x.forEach((value, c) => (values[c * rows + i] = absent[c] ? NaN : value));
    const four = absent[4] ? 1.5 : x[4]!;
    let z = 4 * (x[0]! - 0.5) + 6 * (x[1]! - 0.5) * (four - 0.5) + (x[2]! % 3) - 1;
    z += x[3]! > 0.1 ? 1.5 : -0.5;
    z += 2 * Math.abs(x[5]! - 0.5) - (x[6]! % 7 < 2 ? 1 : 0);
    const noise = u(40) + u(41) + u(42) + u(43) - 2;
    if (task === 'regression') labels[i] = 10 + 3 * z + 2 * noise;
    else if (task === 'binary') labels[i] = u(44) < 0.5 * (1 + z / (1 + Math.abs(z))) ? 1 : 0;
    else {
      const v = z + 2 * noise;
      labels[i] = v < -1 ? 0 : v < 0.5 ? 1 : v < 2 ? 2 : 3;
    }
  }
  return { features: { rows, columns: COLUMNS, values }, labels };
}
