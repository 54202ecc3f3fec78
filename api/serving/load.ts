import { requirePii } from '../../onnx/index.ts';
import { UserError, type PiiHasher } from '../../schemas/index.ts';
import type { Stores } from '../../bucket/index.ts';
import { LoadedModel } from './loaded-model.ts';
import { openVersion } from './open-version.ts';

export interface LoadOptions {
  stores: Pick<Stores, 'objects' | 'versions'>;
  pii?: PiiHasher | undefined;
  maxModelBytes?: number | undefined;
  onBatch?: ((rows: number) => void) | undefined;
}

/**
 * Brings a version into memory: its record, its graph by hash, warm and checked.
 *
 * @throws whatever is wrong with the version; nothing of it stays open then
 */
export async function loadModel(
  model: string,
  n: number,
  { stores, pii, maxModelBytes = Infinity, onBatch }: LoadOptions,
  nowMs: number,
): Promise<LoadedModel> {
  const version = await stores.versions.read(model, n);
  if (!version) throw new UserError('NoSuchVersion', `${model} has no version ${n}, though the serving log names it.`);
  requirePii(version, pii);
  const { bytes } = version.onnx;
  if (bytes > maxModelBytes)
    throw new UserError(
      'ModelTooLarge',
      `${model} version ${n} is ${inMb(bytes)} MB; a replica loads up to ${inMb(maxModelBytes)} MB. Train a smaller one, or raise GAUNTLET_MAX_MODEL_MB where there is memory for it.`,
    );
  return new LoadedModel(
    version,
    await openVersion(version, await stores.objects.read(version.onnx.sha256), nowMs),
    onBatch,
  );
}

const inMb = (bytes: number): string => (bytes / 1_048_576).toFixed(1);
