import { describe, expect, it } from 'vitest';
import { figures, lightgbm, MARGIN, rowsOf } from './figures.ts';
import { trainProject } from './train.ts';

// Seconds of CPU; the rest of the suite runs beside it.
const TIMEOUT_MS = 900_000;

describe('hotel-cancellations', () => {
  it(
    'predicts the eight months after asOf as well as LightGBM by the same recipe, and better than the linear baseline',
    async () => {
      const reference = await lightgbm('hotel-cancellations');
      const run = await trainProject('examples/hotel-cancellations');
      expect(run.expectations.every(({ passed }) => passed)).toBe(true);
      expect(rowsOf(run)).toEqual(reference.rows);
      expect(run.split!.matured).toBe(38_135);

      const ours = figures(run.metrics, 'backtest');
      expect(ours.auc).toBeGreaterThanOrEqual(0.803);
      expect(ours.logLoss).toBeLessThanOrEqual(0.492);
      expect(ours.auc).toBeGreaterThanOrEqual(reference.backtest!.auc! - MARGIN.auc);
      expect(ours.logLoss).toBeLessThanOrEqual(reference.backtest!.logLoss! + MARGIN.logLoss);
      expect(ours.logLoss).toBeLessThanOrEqual(figures(run.baseline, 'backtest').logLoss - 0.005);

      const test = figures(run.metrics, 'test');
      expect(test.auc).toBeGreaterThanOrEqual(reference.test.auc! - MARGIN.auc);
      expect(test.logLoss).toBeLessThanOrEqual(reference.test.logLoss! + MARGIN.logLoss);
    },
    TIMEOUT_MS,
  );
});

describe('online-shoppers', () => {
  it(
    'tells buying sessions apart as well as LightGBM, with the default settings',
    async () => {
      const reference = await lightgbm('online-shoppers');
      const run = await trainProject('examples/online-shoppers');
      expect(run.expectations.every(({ passed }) => passed)).toBe(true);
      expect(rowsOf(run)).toEqual(reference.rows);
      const ours = figures(run.metrics, 'test');
      expect(ours.auc).toBeGreaterThanOrEqual(0.925);
      expect(ours.auc).toBeGreaterThanOrEqual(reference.test.auc! - MARGIN.auc);
      expect(ours.logLoss).toBeLessThanOrEqual(reference.test.logLoss! + MARGIN.logLoss);
    },
    TIMEOUT_MS,
  );
});

describe('weekly-churn', () => {
  it(
    'predicts the customers of the months after asOf as well as LightGBM, from an event log and SQL alone',
    async () => {
      const reference = await lightgbm('weekly-churn');
      const run = await trainProject('examples/weekly-churn');
      expect(run.expectations.every(({ passed }) => passed)).toBe(true);
      expect(rowsOf(run)).toEqual(reference.rows);
      const ours = figures(run.metrics, 'backtest');
      expect(ours.auc).toBeGreaterThanOrEqual(0.715);
      expect(ours.auc).toBeGreaterThanOrEqual(reference.backtest!.auc! - MARGIN.auc);
      expect(ours.logLoss).toBeLessThanOrEqual(reference.backtest!.logLoss! + MARGIN.logLoss);
      expect(figures(run.metrics, 'test').auc).toBeGreaterThanOrEqual(0.715);
    },
    TIMEOUT_MS,
  );
});
