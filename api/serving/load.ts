import { UserError } from '../../schemas/index.ts';
import type { Stores } from '../../bucket/index.ts';
import { LoadedModel } from './loaded-model.ts';
import { openVersion } from './open-version.ts';

export type LoadStores = Pick<Stores, 'objects' | 'versions'>;

/**
 * Brings a version into memory: its record, its graph by hash, warm and checked.
 *
 * @throws whatever is wrong with the version; nothing of it stays open then
 */
export async function loadModel(stores: LoadStores, model: string, n: number, nowMs: number): Promise<LoadedModel> {
  const version = await stores.versions.read(model, n);
  if (!version) throw new UserError('NoSuchVersion', `${model} has no version ${n}, though the serving log names it.`);
  const bytes = await stores.objects.read(version.onnx.sha256);
  return new LoadedModel(version, await openVersion(version, bytes, nowMs));
}
