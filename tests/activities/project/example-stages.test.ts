import { expect, it } from 'vitest';
import { readProjectFolder } from '../../../activities/project/read-folder.ts';
import { judgePlanning, rolloutContradictions } from '../../../policies/index.ts';
import type { PlanningEvidence } from '../../../schemas/index.ts';

const { spec } = await readProjectFolder(new URL('../../../examples/hotel-cancellations', import.meta.url).pathname);

/** As planTrial measured them for boosting against the linear model, both of 2016-07-01, on the backtest rows. */
const measured: PlanningEvidence = {
  kind: 'plan',
  on: 'backtest',
  blocks: 36,
  rowsPerBlock: 941,
  sdOfBlocks: 0.041,
  designEffect: 9.1,
  effect: null,
  seeds: [],
  minimumEffect: 0.0062,
  strata: [],
  expectedBlocks: null,
};
const STRATA = {
  'the backtest rows, at most 180 days ahead': [
    { share: 0.27, daysToMature: 18 },
    { share: 0.37, daysToMature: 54 },
    { share: 0.34, daysToMature: 133 },
    { share: 0.02, daysToMature: 190 },
  ],
  'all bookings': [18, 55, 133, 240].map((daysToMature) => ({ share: 0.25, daysToMature })),
};

it('the hotel example has every kind of stage', () => {
  expect(spec.rollout.stages.map(({ kind }) => kind)).toEqual(['shadow', 'approval', 'canary', 'canary', 'bake']);
});

it('asks nothing that the example does not give, a log without its own time included', () => {
  const version = { task: spec.task, inputs: spec.inputs, labelsSeenUntil: '2016-07-01T00:00:00.000Z' };
  const { stages } = spec.rollout;
  expect(
    rolloutContradictions({ spec, stages, challenger: { n: 2, ...version }, champion: { n: 1, ...version } }),
  ).toEqual([]);
});

it.each(Object.entries(STRATA))('its trial can decide within its time, by the horizons of %s', (_, strata) => {
  const stage = spec.rollout.stages[0]!;
  if (stage.kind !== 'shadow') throw new Error(stage.kind);
  const plan = { kind: 'plan' as const, stage, champion: 1, challenger: 2, loss: 'logLoss' as const };
  const { verdict } = judgePlanning(plan, { ...measured, strata });
  expect(verdict.says, verdict.because).toBe('pass');
  const small = judgePlanning({ ...plan, stage: { ...stage, worthFinding: 0.01 } }, { ...measured, strata });
  expect(small.verdict).toMatchObject({ says: 'fail', limitedBy: 'duration' });
});
