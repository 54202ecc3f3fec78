import { isLonger, shown } from '../../onnx/index.ts';
import type { Issue, ModelVersion, Output } from '../../schemas/index.ts';
import { isoOf } from './iso.ts';

/** Above or at it a binary answer is positive, where the version carries no threshold of its own. */
const DEFAULT_THRESHOLD = 0.5;
const MAX_ENTITY_LENGTH = 200;

export type Entity = string | number;

type Decision = boolean | string | number;

/** What the answer to one row says. `prediction` follows the version's own threshold. */
export interface Prediction {
  prediction: Decision;
  /** binary: of the positive class */
  probability?: number;
  /** multiclass: by class */
  probabilities?: Record<string, number>;
  /** When the outcome is final whatever it is, ISO 8601; null where that depends on an input that is missing. */
  maturesAt: string | null;
}

export function predictionOf(version: ModelVersion, { scores, maturesAt }: Output): Prediction {
  const prediction = decisionOf(version, scores);
  const matures = isoOf(Math.trunc(maturesAt * 1000));
  if (version.task === 'regression') return { prediction, maturesAt: matures };
  if (version.task === 'binary') return { prediction, probability: scores[0]!, maturesAt: matures };
  const probabilities = Object.fromEntries((version.classes ?? []).map((name, k) => [name, scores[k]!]));
  return { prediction, probabilities, maturesAt: matures };
}

/** What the scores come to: positive or not, a class, or the number itself. */
export function decisionOf({ task, threshold, classes }: ModelVersion, scores: readonly number[]): Decision {
  if (task === 'regression') return scores[0]!;
  if (task === 'binary') return scores[0]! >= (threshold ?? DEFAULT_THRESHOLD);
  return (classes ?? [])[scores.indexOf(Math.max(...scores))]!;
}

/**
 * The key of a row, as it is echoed: text, or a number that JSON carries whole. null and the empty text are none.
 *
 * @param isPersonal  then an issue does not show it
 */
export function entityOf(
  row: unknown,
  name: string,
  at: string,
  isPersonal: boolean,
): { entity?: Entity; issue?: Issue } {
  if (typeof row !== 'object' || row === null || !Object.hasOwn(row, name)) return {};
  const given = (row as Record<string, unknown>)[name];
  if (given === null || given === '') return {};
  if (typeof given === 'string') {
    if (isLonger(given, MAX_ENTITY_LENGTH))
      return { issue: { at, found: `${given.length} characters`, expected: `at most ${MAX_ENTITY_LENGTH}` } };
    // As in feedback: what is answered can be labelled.
    if (/\p{Cc}/u.test(given))
      return { issue: { at, found: shown(given, isPersonal), expected: 'text without control characters' } };
    return { entity: given };
  }
  if (typeof given === 'number' && (Number.isInteger(given) ? Number.isSafeInteger(given) : Number.isFinite(given)))
    return { entity: given };
  const expected = 'text, or a number below 2^53 (send longer ones as text)';
  return { issue: { at, found: shown(given, isPersonal), expected } };
}
