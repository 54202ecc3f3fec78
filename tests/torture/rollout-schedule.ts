import { Stages, type Stage } from '../../schemas/index.ts';
import { diceOf, type Lane } from './schedule.ts';

export const MODELS = ['tortured-a', 'tortured-b'];

/** One thing that is done to the machinery. */
export type MachineAct = { atMs: number } & MachineDeed;
type MachineDeed =
  | { do: 'kill-replica'; replica: number; downMs: number }
  | { do: 'kill-challenger'; replica: number }
  | { do: 'kill-worker'; downMs: number }
  | { do: 'kill-temporal'; downMs: number }
  | { do: 'bucket-down'; signal: 'SIGTERM' | 'SIGKILL'; downMs: number }
  | { do: 'keep-house'; killAfterMs?: number };

/** What a person does to the rollout that a model has just then, or to the model. */
export type PersonsAct = { atMs: number } & PersonsDeed;
export type PersonsDeed =
  | { do: 'pause'; lastsMs: number }
  | { do: 'advance' | 'rollback' | 'reject' | 'cancel' | 'terminate' }
  | { do: 'roll-back-by-hand'; to?: number };

/** A rollout that is begun as soon as the one before has ended. Which version it is of is chosen then. */
export interface PlannedRollout {
  type: 'promotion' | 'shadowTrial' | 'canaryRollout';
  challenger: 'good' | 'throws' | 'NaN' | 'hangs';
  /** A shadow stage lacks its `from`, which is when the rollout begins. */
  stages: Stage[];
  /** Chooses among the good versions that are not the champion. */
  pick: number;
}

const patience = { maxDuration: '60 seconds', minRequests: 15, lookEvery: '1 seconds' };
const canary = (weight: number) => ({ kind: 'canary', weight, minDuration: '2 seconds', ...patience });
const bake = { kind: 'bake', minDuration: '2 seconds', ...patience };
const approval = { kind: 'approval', deadline: '2 minutes', allowUnverified: true };
const shadow = {
  kind: 'shadow',
  minimumEffect: 1000,
  maxUnseen: 0.5,
  block: 'day',
  lookEvery: '1 seconds',
  maxDuration: '80 days',
  // The log's own time runs by the day and by the second.
  maxWait: '60 days',
};
const live = { atLeast: '1 seconds', minRequests: 30, minScored: 0.2 };

const parsed = (stages: object[]): Stage[] => Stages.parse(stages);

type Kind = Omit<PlannedRollout, 'pick'>;
const promotion = (challenger: PlannedRollout['challenger'], ...stages: object[]): Kind => ({
  type: 'promotion',
  challenger,
  stages: parsed(stages),
});
const canaries = (challenger: PlannedRollout['challenger'], ...stages: object[]): Kind => ({
  ...promotion(challenger, ...stages),
  type: 'canaryRollout',
});

/** As people would mean it: a good challenger becomes the champion, a harmful one never does. */
const KINDS: Kind[] = [
  promotion('good', shadow, approval, canary(0.3), bake),
  canaries('throws', canary(0.3), bake),
  promotion('good', approval, canary(0.1), canary(0.4), bake),
  canaries('NaN', canary(0.2), canary(0.5), bake),
  canaries('good', canary(0.4), bake),
  canaries('hangs', canary(0.3), bake),
  promotion('good', { ...shadow, live }, approval, canary(0.5), bake),
  promotion('throws', { ...shadow, live }, canary(0.5), bake),
  promotion('throws', bake),
  promotion('NaN', bake),
  promotion('good', bake),
  { ...promotion('good', shadow), type: 'shadowTrial' },
];

/** After the harm: nothing stands in its way. */
export const LAST: Kind = canaries('good', canary(0.5), bake);

/** In a bake alone a harmful version is the champion, and only who watches it takes it away. */
export const isHarmfulChampion = ({ challenger, stages }: Kind): boolean =>
  challenger !== 'good' && stages[0]?.kind === 'bake';

export interface RolloutSchedule {
  machine: Lane<MachineAct>[];
  /** By model. */
  people: Lane<PersonsAct>[];
  rollouts: PlannedRollout[][];
}

/** The same seed and length give the same schedule. */
export function planRollouts(seed: number, o: { lengthMs: number; bucketCanFall: boolean }): RolloutSchedule {
  const { random, between, oneOf, lane } = diceOf(seed, o.lengthMs);
  const persons = (): PersonsDeed => {
    const kind = random.float();
    if (kind < 0.35) return { do: 'pause', lastsMs: between(500, 4_000) };
    if (kind < 0.75) return { do: oneOf(['advance', 'rollback', 'reject', 'cancel', 'terminate'] as const) };
    return { do: 'roll-back-by-hand', ...(random.float() < 0.3 && { to: between(1, 3) }) };
  };
  // However long it is, the rollouts are the same.
  const { random: order } = diceOf(seed, 0);
  const shuffled = (): PlannedRollout[] =>
    KINDS.map((kind) => ({ kind, at: order.float(), pick: order.uint32() % 6 }))
      .sort((a, b) => a.at - b.at)
      .map(({ kind, pick }) => ({ ...kind, pick }));
  return {
    machine: [
      lane<MachineDeed>('replicas', [8_000, 20_000], () => ({
        do: 'kill-replica',
        replica: between(0, 1),
        downMs: between(0, 3_000),
      })),
      lane<MachineDeed>('challengers', [8_000, 20_000], () => ({ do: 'kill-challenger', replica: between(0, 1) })),
      lane<MachineDeed>('worker', [12_000, 35_000], () => ({ do: 'kill-worker', downMs: between(0, 4_000) })),
      lane<MachineDeed>('temporal', [15_000, 40_000], () => ({ do: 'kill-temporal', downMs: between(0, 5_000) })),
      lane<MachineDeed>('house', [5_000, 20_000], () => ({
        do: 'keep-house',
        ...(random.float() < 0.5 && { killAfterMs: between(0, 1_500) }),
      })),
      ...(o.bucketCanFall
        ? [
            lane<MachineDeed>('bucket', [20_000, 50_000], () => ({
              do: 'bucket-down',
              signal: oneOf(['SIGTERM', 'SIGKILL'] as const),
              downMs: between(500, 8_000),
            })),
          ]
        : []),
    ],
    people: MODELS.map((model) => lane<PersonsDeed>(model, [6_000, 20_000], persons)),
    rollouts: MODELS.map(() => [...shuffled(), ...shuffled()]),
  };
}
