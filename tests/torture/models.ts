import type { Stores } from '../../bucket/index.ts';
import { GraphSpec, type ModelVersion } from '../../schemas/index.ts';
import { greedy, registerOdd, slow, sometimesNaN, throws } from '../api/serving/challenger/odd-graphs.ts';
import { register, type Made } from '../api/serving/fixture.ts';

export const MODEL = 'tortured';

/** Versions that may be champion. Version n answers 1000 n + x: which version and which row can be read from an answer. */
export const GOOD = [1, 2, 3];
/** Versions that do harm, as canaries and shadows only. They answer x. */
export const ODD = [4, 5, 6, 7];
export const answerOf = (version: number, x: number): number => (GOOD.includes(version) ? 1000 * version : 0) + x;

/** What the odd graphs take; the good ones let it be. */
const levers = Object.fromEntries(['ms', 'throw', 'mb'].map((name) => [name, { type: 'number', optional: true }]));

/** Answers 1000 n + x, whatever the levers say. */
export const good = (n: number, maturesAt = 'predicted_at + 1 hours'): Made => ({
  graph: GraphSpec.parse({
    task: 'regression',
    inputs: { x: { type: 'number' }, ...levers },
    derived: {},
    maturesAt,
  }),
  preprocessing: { features: ['x', 'ms', 'throw', 'mb'].map((name) => ({ kind: 'number', name, fill: 0 })) },
  model: { kind: 'linear', task: 'regression', outputs: 1, intercepts: [1000 * n], coefficients: [1, 0, 0, 0] },
  warmUpRows: [{ x: 1 }],
});

export async function registerModels(stores: Stores): Promise<void> {
  const changes: Partial<ModelVersion> = {
    serving: { unit: 'customer', unitPii: false, entityPii: false, allowEventTime: false },
  };
  for (const n of GOOD) await register(stores, MODEL, good(n), changes);
  for (const odd of [await slow(), sometimesNaN(0.01), throws(), greedy()])
    await registerOdd(stores, MODEL, odd, changes);
}
