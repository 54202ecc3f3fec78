import type { GivenStage } from './project.ts';

export const MODEL = 'hotel-cancellations';

/** Everything is as of this day: what was known then trains the models, and what came after is played. */
export const AS_OF = '2016-07-01';
/** Bookings made later are in the data only if they were for soon, so they are no fair traffic. */
export const UNTIL = '2017-03-01';
/** Longer ones are cut off in the data. */
export const WHERE = 'lead_time <= 180';

/** A version to train: its overrides of the example's model.yaml. */
export interface Recipe {
  called: string;
  overrides: Record<string, unknown>;
}

export interface Act {
  title: string;
  champion: Recipe;
  challenger: Recipe;
  stages: readonly GivenStage[];
  daysPerSecond: number;
  /** Until the outcomes of all bookings are known, months after the last was made. */
  toTheEnd: boolean;
  /** What the trial is to find; a pass on a day between these. */
  expects: { says: 'pass'; fromDay: number; toDay: number } | { says: 'fail' };
}

/** Columns of many values, which a first model leaves alone. */
const MANY_VALUED = [
  'agent',
  'company',
  'market_segment',
  'distribution_channel',
  'reserved_room_type',
  'meal',
  'customer_type',
];
const leftOut = Object.fromEntries(MANY_VALUED.map((name) => [`inputs.${name}.feature`, false]));

/** Looks every second by the log's time, which is compressed; nothing else of the trial is. */
const shadow: GivenStage = {
  kind: 'shadow',
  maxUnseen: 0.3,
  block: 'week',
  lookEvery: '1 second',
  maxDuration: '40 weeks',
  worthFinding: 0.06, // they differ by .086 on the test part, before any booking of the trial
};

const watched = { lookEvery: '1 second', maxDuration: '5 minutes' };
/** Months of the log pass in a canary of seconds, and scores change with the season: the usual limit would tell that. */
const seasons = { maxScoreShift: 2 };

export const ACTS: Record<'1' | '2', Act> = {
  1: {
    title: 'A linear model on plain columns, and boosting on all of them',
    champion: {
      called: 'a linear model on plain columns',
      // It is its own baseline.
      overrides: {
        training: { algorithm: 'linear' },
        'evaluation.gates': { atLeast: { auc: 0.75, logLoss: 0.55 } },
        ...leftOut,
      },
    },
    challenger: { called: 'gradient boosting on all columns', overrides: {} },
    stages: [
      { ...shadow, live: { atLeast: '20 seconds', minRequests: 9000 } },
      { kind: 'approval', deadline: '1 hour', remindAfter: '10 minutes' },
      { kind: 'canary', weight: 0.05, minDuration: '10 seconds', minRequests: 100, ...watched, ...seasons },
      { kind: 'canary', weight: 0.25, minDuration: '8 seconds', minRequests: 300, ...watched, ...seasons },
      { kind: 'bake', minDuration: '8 seconds', minRequests: 500, ...watched },
    ],
    daysPerSecond: 2,
    toTheEnd: false,
    expects: { says: 'pass', fromDay: 80, toDay: 200 },
  },
  2: {
    title: 'Every label known so far, against matured bookings only',
    champion: {
      called: 'boosting on matured bookings',
      overrides: {},
    },
    challenger: {
      called: 'boosting on every booking whose outcome is known',
      // The mistake of a model.yaml that says nothing of when labels mature: known at once, if at all.
      overrides: { 'label.maturesAt': 'predicted_at', 'evaluation.gates': { atLeast: { auc: 0.75, logLoss: 0.55 } } },
    },
    // The last outcomes come half a year after the last booking.
    stages: [{ ...shadow, maxDuration: '70 weeks', maxWait: '30 weeks' }],
    daysPerSecond: 4,
    toTheEnd: true,
    expects: { says: 'fail' },
  },
};

/** In front of a few: what is wrong is found by the first of them. */
export const brokenCanary: GivenStage = {
  kind: 'canary',
  weight: 0.2,
  minDuration: '30 seconds',
  minRequests: 500,
  ...watched,
  ...seasons,
};
