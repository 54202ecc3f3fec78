import { UserError, type PiiHasher } from '../../schemas/index.ts';
import type { Stores } from '../../bucket/index.ts';
import { LoadedModel } from './loaded-model.ts';
import { requireLoadable } from './loadable.ts';
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
  { stores, pii, maxModelBytes, onBatch }: LoadOptions,
  nowMs: number,
): Promise<LoadedModel> {
  const version = await stores.versions.read(model, n);
  if (!version) throw new UserError('NoSuchVersion', `${model} has no version ${n}, though the serving log names it.`);
  requireLoadable(version, { pii, maxModelBytes });
  return new LoadedModel(
    version,
    await openVersion(version, await stores.objects.read(version.onnx.sha256), nowMs),
    onBatch,
  );
}
