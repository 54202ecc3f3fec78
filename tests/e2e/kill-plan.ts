import { Random } from '../../numerics/index.ts';

/** One step of a pipeline with refit, backtest and rollout. */
export interface KillStep {
  workflow: 'trainingPipeline' | 'promotion';
  activity: string;
  /** Which of the two fits, where the activity is called for both. */
  fit?: 'first' | 'refit';
}

/**
 * before: it has not begun. amid: some way through. after: all of its work is done, and nobody knows.
 * reported: its result is known, and the workflow is being told.
 */
export type Moment = 'before' | 'amid' | 'after' | 'reported';

export interface Kill {
  step: KillStep;
  moment: Moment;
  /** amid: milliseconds into the step, or at its end if that comes first. reported: milliseconds after it. */
  afterMs: number;
}

const training = (activity: string, fit?: 'first' | 'refit'): KillStep => ({
  workflow: 'trainingPipeline',
  activity,
  ...(fit && { fit }),
});
const promotion = (activity: string): KillStep => ({ workflow: 'promotion', activity });

/** Every activity that a pipeline runs, in its order. */
export const STEPS: readonly KillStep[] = [
  training('planRun'),
  training('ingest'),
  training('checkExpectations'),
  training('sealTrainingRows'),
  training('splitTrainingRows'),
  training('fitHead', 'first'),
  training('train', 'first'),
  training('fitBaseline', 'first'),
  training('evaluate'),
  training('lookAtGate'),
  training('fitHead', 'refit'),
  training('train', 'refit'),
  training('fitBaseline', 'refit'),
  training('exportGraph'),
  training('backtest'),
  training('register'),
  training('recordRun'),
  training('planRollout'),
  promotion('planRollout'),
  promotion('serve'),
];

export const nameOf = ({ workflow, activity, fit }: KillStep): string =>
  [workflow, activity, ...(fit ? [fit] : [])].join(' ');

const MOMENTS: readonly Moment[] = ['before', 'amid', 'after', 'after', 'reported']; // after is the most telling one

/** @param durations milliseconds that each step took in a run that nobody killed, by name */
export function planKills(steps: readonly KillStep[], durations: ReadonlyMap<string, number>, seed: number): Kill[] {
  const random = new Random(seed);
  return steps.map((step) => {
    const moment = MOMENTS[Math.floor(random.float() * MOMENTS.length)]!;
    const span = moment === 'reported' ? 60 : (durations.get(nameOf(step)) ?? 0);
    return { step, moment, afterMs: Math.floor(random.float() * span) };
  });
}
