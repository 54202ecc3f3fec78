import { Random } from '../../numerics/index.ts';
import { GOOD, ODD } from './models.ts';

/** One thing that is done to the system, and when: milliseconds after the traffic began, or later, when the one before is done. */
export type Act = { atMs: number } & Deed;
type Deed =
  | { do: 'kill-replica'; replica: number; downMs: number }
  | { do: 'kill-challenger'; replica: number }
  | { do: 'bucket-down'; signal: 'SIGTERM' | 'SIGKILL'; downMs: number }
  | { do: 'canary'; version: number; weight: number; lastsMs: number }
  | { do: 'promote'; version: number }
  | { do: 'shadows'; versions: number[]; lastsMs: number }
  | { do: 'roll-back'; to?: number }
  | { do: 'keep-house'; killAfterMs?: number };

/** What is done to one part, one after the other; parts are tortured side by side. */
export interface Lane<A = Act> {
  name: string;
  acts: A[];
}

const LONG_MS = 3_600_000;

export interface Dice {
  random: Random;
  between(from: number, to: number): number;
  oneOf<T>(of: readonly T[]): T;
  lane<D extends object>(name: string, gapMs: [number, number], act: () => D): Lane<{ atMs: number } & D>;
}

export function diceOf(seed: number, lengthMs: number): Dice {
  const random = new Random(seed);
  const between = (from: number, to: number): number => Math.round(from + random.float() * (to - from));
  return {
    random,
    between,
    oneOf: (of) => of[between(0, of.length - 1)]!,
    lane(name, gapMs, act) {
      const acts: ({ atMs: number } & ReturnType<typeof act>)[] = [];
      for (let atMs = between(1_000, gapMs[1]); atMs < lengthMs; atMs += between(...gapMs))
        acts.push({ atMs, ...act() });
      return { name, acts };
    },
  };
}

/** The same seed and length give the same schedule. */
export function planTorture(seed: number, o: { lengthMs: number; bucketCanFall: boolean }): Lane[] {
  const { random, between, oneOf, lane } = diceOf(seed, o.lengthMs);
  const lasts = (): number => (random.float() < 0.2 ? between(500, 3_000) : LONG_MS);
  const serve = (): Deed => {
    const kind = random.float();
    if (kind < 0.5)
      return { do: 'canary', version: oneOf([...GOOD, ...ODD]), weight: oneOf([0, 0.05, 0.2, 0.5]), lastsMs: lasts() };
    if (kind < 0.75)
      return { do: 'shadows', versions: [...GOOD, ...ODD].filter(() => random.float() < 0.4), lastsMs: lasts() };
    if (kind < 0.9) return { do: 'promote', version: oneOf(GOOD) };
    return { do: 'roll-back', ...(random.float() < 0.5 && { to: oneOf(GOOD) }) };
  };
  return [
    lane<Deed>('replicas', [6_000, 20_000], () => ({
      do: 'kill-replica',
      replica: between(0, 1),
      downMs: between(0, 3_000),
    })),
    lane<Deed>('challengers', [8_000, 25_000], () => ({ do: 'kill-challenger', replica: between(0, 1) })),
    // Two writers, who meet now and then.
    lane<Deed>('serving 1', [500, 4_000], serve),
    lane<Deed>('serving 2', [500, 4_000], serve),
    lane<Deed>('house', [2_000, 10_000], () => ({
      do: 'keep-house',
      ...(random.float() < 0.8 && { killAfterMs: between(0, 1_500) }),
    })),
    ...(o.bucketCanFall
      ? [
          lane<Deed>('bucket', [20_000, 50_000], () => ({
            do: 'bucket-down',
            signal: oneOf(['SIGTERM', 'SIGKILL'] as const),
            downMs: between(500, 12_000),
          })),
        ]
      : []),
  ];
}
