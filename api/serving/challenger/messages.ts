import type { ModelVersion } from '../../../schemas/index.ts';

/** Columns that a graph takes, in the order in which they are packed. */
export interface Layout {
  numbers: readonly string[];
  strings: readonly string[];
}

/** Rows as they cross: two arrays, because each array costs as much as a hundred numbers. */
export interface PackedRows {
  rows: number;
  /** [1 + numbers, rows]: predicted_at, then the number columns. */
  numbers: Float64Array;
  /** [strings, rows] */
  strings: (string | null)[];
}

export interface PackedOutputs {
  /** [rows, width], 0 where there are none */
  scores: Float64Array;
  width: number;
  maturesAt: Float64Array;
  /** Rows without a finite score: place, and why. */
  failed: [row: number, because: string][];
  /** Rows for which the run threw. */
  threw: [row: number, because: string][];
}

/** To the child. It answers `load` and `run`, each with its id, in the order in which they came. */
export type Order =
  | { kind: 'load'; id: number; key: string; file: string; version: ModelVersion; nowMs: number }
  | { kind: 'unload'; key: string }
  | ({ kind: 'run'; id: number; key: string } & PackedRows);

/** From the child. */
export type Report =
  | { kind: 'ready' }
  | { kind: 'loaded'; id: number; layout: Layout }
  | { kind: 'load-failed'; id: number; because: string }
  | ({ kind: 'ran'; id: number; graphMs: number } & PackedOutputs);
