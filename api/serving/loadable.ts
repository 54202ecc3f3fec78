import { requirePii } from '../../onnx/index.ts';
import { UserError, type ModelVersion, type PiiHasher } from '../../schemas/index.ts';

/**
 * Whether a replica may load a version at all, be it as champion, canary or shadow.
 *
 * @throws {UserError} ModelTooLarge, NoPiiKey or WrongPiiKey
 */
export function requireLoadable(
  version: ModelVersion,
  { pii, maxModelBytes = Infinity }: { pii?: PiiHasher | undefined; maxModelBytes?: number | undefined },
): void {
  requirePii(version, pii);
  const { model, n, onnx } = version;
  if (onnx.bytes > maxModelBytes)
    throw new UserError(
      'ModelTooLarge',
      `${model} version ${n} is ${inMb(onnx.bytes)} MB; a replica loads up to ${inMb(maxModelBytes)} MB. Train a smaller one, or raise GAUNTLET_MAX_MODEL_MB where there is memory for it.`,
    );
}

const inMb = (bytes: number): string => (bytes / 1_048_576).toFixed(1);
