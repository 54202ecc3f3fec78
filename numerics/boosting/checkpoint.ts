import type { Objective } from '../training-data.ts';
import type { Tree } from '../trained-model.ts';
import type { BoostingCurvePoint } from './boost.ts';
import type { BoostingParameters } from './parameters.ts';

/** All that a booster cannot recompute from its data. */
export interface BoosterState {
  trees: Tree[];
  curve: BoostingCurvePoint[];
  /** Of the random generator. */
  random: number[];
  /** Rounds up to the lowest validation loss. */
  bestRounds: number;
}

/** What a checkpoint must have been made with, so that going on from it means the same training. */
export interface BoosterIdentity {
  objective: Objective;
  parameters: BoostingParameters;
  train: { rows: number; columns: number };
  valid?: { rows: number; columns: number };
}

const FORMAT = 'gauntlet-booster/1';

/** JSON, since every number of a tree is a float32, a small integer or 0 and survives it. */
export function encodeCheckpoint(identity: BoosterIdentity, state: BoosterState): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ format: FORMAT, identity: identityText(identity), ...state }));
}

/** @throws {RangeError} if the bytes are no checkpoint, or one of another training */
export function decodeCheckpoint(bytes: Uint8Array, identity: BoosterIdentity): BoosterState {
  let found: { format?: unknown; identity?: unknown } & BoosterState;
  try {
    found = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new RangeError('checkpoint: the bytes are not one of ours', { cause });
  }
  if (found?.format !== FORMAT) throw new RangeError(`checkpoint: its format is not ${FORMAT}`);
  const expected = identityText(identity);
  if (found.identity !== expected)
    throw new RangeError(`checkpoint: made by another training: ${String(found.identity)}, not ${expected}`);
  const { trees, curve, random, bestRounds } = found;
  return { trees, curve, random, bestRounds };
}

function identityText({ objective, parameters: p, train, valid }: BoosterIdentity): string {
  return JSON.stringify([
    objective.task,
    objective.classes ?? null,
    [p.trees, p.maxDepth, p.learningRate, p.subsample, p.columnSample],
    [p.minChildWeight, p.minChildRows, p.l2, p.maxBins, p.earlyStoppingRounds, p.seed],
    [train.rows, train.columns],
    valid ? [valid.rows, valid.columns] : null,
  ]);
}
