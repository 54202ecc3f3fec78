import { isLonger, shown } from '../../onnx/index.ts';
import type { Issue, ModelVersion, Output } from '../../schemas/index.ts';

/** Above or at it a binary answer is positive, where the version carries no threshold of its own. */
const DEFAULT_THRESHOLD = 0.5;
const MAX_ENTITY_LENGTH = 200;

export type Entity = string | number;

/** What the answer to one row says. `prediction` follows the version's own threshold. */
export interface Prediction {
  prediction: boolean | string | number;
  /** binary: of the positive class */
  probability?: number;
  /** multiclass: by class */
  probabilities?: Record<string, number>;
  /** When the outcome is final whatever it is, ISO 8601; null where that depends on an input that is missing. */
  maturesAt: string | null;
}

export function predictionOf(version: ModelVersion, { scores, maturesAt }: Output): Prediction {
  const common = { maturesAt: isoOf(maturesAt) };
  if (version.task === 'regression') return { prediction: scores[0]!, ...common };
  if (version.task === 'binary')
    return { prediction: scores[0]! >= (version.threshold ?? DEFAULT_THRESHOLD), probability: scores[0]!, ...common };
  const classes = version.classes ?? [];
  return {
    prediction: classes[scores.indexOf(Math.max(...scores))]!,
    probabilities: Object.fromEntries(classes.map((name, k) => [name, scores[k]!])),
    ...common,
  };
}

function isoOf(seconds: number): string | null {
  const at = new Date(seconds * 1000);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
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
