import type { Stores } from '../../bucket/index.ts';
import { listModels } from './models.ts';
import type { Check, ModelSummary, Status } from './shapes.ts';
import { reasonInWords, withTemporal, type TemporalOptions } from './temporal.ts';

/** What is up and what serves. Never throws: what does not answer is said. */
export async function readStatus(o: TemporalOptions & { stores: Stores; serving?: () => Check[] }): Promise<Status> {
  const [bucket, temporal] = await Promise.all([readBucket(o.stores), askTemporal(o)]);
  const { models, ...rest } = bucket;
  return { bucket: rest, temporal, models, replica: o.serving?.() ?? [] };
}

async function readBucket(stores: Stores): Promise<Status['bucket'] & { models: ModelSummary[] }> {
  try {
    const [{ n }, models] = await Promise.all([stores.serving.table(), listModels(stores)]);
    return { ok: true, because: `serving log at revision ${n}`, models };
  } catch (error) {
    return { ok: false, because: reasonInWords(error), models: [] };
  }
}

async function askTemporal(o: TemporalOptions): Promise<Status['temporal']> {
  try {
    return await withTemporal(o, async (client) => {
      const { serverVersion } = await client.workflowService.getSystemInfo({});
      return {
        ok: true,
        because: `server ${serverVersion ?? 'of unknown version'}, namespace ${client.options.namespace}`,
        ui: o.uiUrl,
      };
    });
  } catch (error) {
    return { ok: false, because: reasonInWords(error), ui: o.uiUrl };
  }
}
