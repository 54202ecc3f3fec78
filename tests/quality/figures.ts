import { readFile } from 'node:fs/promises';
import type { BinaryMetrics, EvaluationReport, Run } from '../../schemas/index.ts';

/** LightGBM's figures for one project: means over three seeds, on the rows that nothing saw. */
export interface Reference {
  rows: { all: number; matured: number; train: number; valid: number; test: number; backtest?: number };
  test: Record<string, number>;
  backtest?: Record<string, number>;
}

export async function lightgbm(project: string): Promise<Reference> {
  const file = new URL('../golden/quality/lightgbm.json', import.meta.url);
  const all = JSON.parse(await readFile(file, 'utf8')) as Record<string, Reference>;
  return all[project]!;
}

/** How much worse than LightGBM a figure may be. Better is always well. */
export const MARGIN = { auc: 0.005, logLoss: 0.01, rmseShare: 0.02 };

export function figures<M = BinaryMetrics>(reports: EvaluationReport[], on: EvaluationReport['on']): M {
  return reports.find((report) => report.on === on)!.metrics as M;
}

/** Rows of each part, as the reference counts them. */
export function rowsOf(run: Run): Reference['rows'] {
  const { matured, rows, parts } = run.split!;
  const backtest = run.metrics.find(({ on }) => on === 'backtest')?.rows;
  return {
    all: rows,
    matured,
    train: parts.train.rows,
    valid: parts.valid.rows,
    test: parts.test.rows,
    ...(backtest !== undefined && { backtest }),
  };
}
