import { describe, expect, it } from 'vitest';
import type { MulticlassMetrics, RegressionMetrics } from '../../schemas/index.ts';
import { figures, lightgbm, MARGIN, rowsOf } from './figures.ts';
import { trainProject } from './train.ts';

const HOTEL = 'examples/hotel-cancellations/hotel_bookings.parquet';
// Seconds of CPU; the rest of the suite runs beside it.
const TIMEOUT_MS = 900_000;

describe('tables that nobody tuned it for', () => {
  it(
    'booking-outcomes: three classes, one of them rare, with strings, nulls and dates: within .01 log-loss of LightGBM',
    async () => {
      const reference = await lightgbm('booking-outcomes');
      const run = await trainProject('tests/quality/projects/booking-outcomes', HOTEL);
      expect(rowsOf(run)).toEqual(reference.rows);
      const ours = figures<MulticlassMetrics>(run.metrics, 'test');
      expect(ours.logLoss).toBeLessThanOrEqual(reference.test.logLoss! + MARGIN.logLoss);
      expect(ours.logLoss).toBeLessThan(figures<MulticlassMetrics>(run.baseline, 'test').logLoss);
    },
    TIMEOUT_MS,
  );

  it(
    'room-rates: a regression with strings, nulls and dates: within 2 % of the RMSE of LightGBM',
    async () => {
      const reference = await lightgbm('room-rates');
      const run = await trainProject('tests/quality/projects/room-rates', HOTEL);
      expect(rowsOf(run)).toEqual(reference.rows);
      const ours = figures<RegressionMetrics>(run.metrics, 'test');
      expect(ours.rmse).toBeLessThanOrEqual(reference.test.rmse! * (1 + MARGIN.rmseShare));
      expect(ours.rmse).toBeLessThan(figures<RegressionMetrics>(run.baseline, 'test').rmse);
    },
    TIMEOUT_MS,
  );
});
