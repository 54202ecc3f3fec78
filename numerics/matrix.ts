/** Features as the trainers take them: column-major, values[column * rows + row], missing = NaN. */
export interface Matrix {
  rows: number;
  columns: number;
  values: Float32Array;
}
