import { expect, it } from 'vitest';
import { ACTS } from '../../../cli/demo/acts.ts';
import { readBookings } from '../../../cli/demo/bookings.ts';
import { demoProject, EXAMPLE } from '../../../cli/demo/project.ts';
import { decodeRows } from '../../../onnx/index.ts';
import { stageContradictions } from '../../../schemas/index.ts';

it.each(['1', '2'] as const)(
  'the example of act %s takes event times, imports nothing, knows no future, and has stages that fit',
  async (act) => {
    const { spec, files } = await demoProject(ACTS[act].stages);
    expect(spec.serving.allowEventTime).toBe(true);
    expect(spec.label.import).toBeUndefined();
    expect(spec.backtest).toBeUndefined();
    expect(spec.rollout.stages.map(({ kind }) => kind)).toEqual(ACTS[act].stages.map(({ kind }) => kind));
    expect(stageContradictions(spec)).toEqual([]);
    expect([...files.keys()].sort()).toEqual(['hotel_bookings.parquet', 'model.yaml', 'rows.sql']);
  },
);

it('bookings are played on the day they were made, as requests that the model takes; outcomes on the day they were known', async () => {
  const { spec } = await demoProject([]);
  const days = await readBookings(EXAMPLE, { from: '2016-07-01', until: '2016-07-15', where: 'lead_time <= 180' });
  const made = days.filter(({ rows }) => rows.length > 0);
  expect(made.map(({ date }) => date)).toEqual(
    Array.from({ length: 14 }, (_, i) => `2016-07-${String(i + 1).padStart(2, '0')}`),
  );
  const rows = days.flatMap((day) => day.rows);
  const labels = days.flatMap((day) => day.labels);
  expect(decodeRows(spec.inputs, rows, { extra: ['booking_id'] })).toMatchObject({ ok: true });
  // Each booking has one outcome, at its time or later, and never after it was known.
  const bookedOn = new Map(made.flatMap(({ date, rows }) => rows.map((row) => [row['booking_id'], date] as const)));
  expect(labels.map((label) => label.booking_id).toSorted()).toEqual([...bookedOn.keys()].map(String).toSorted());
  for (const { date, labels } of days)
    for (const label of labels) {
      expect(label.knownAt).toBe(date);
      expect(label.happenedAt >= bookedOn.get(label.booking_id)!).toBe(true);
      expect(label.happenedAt <= label.knownAt).toBe(true);
    }
});
