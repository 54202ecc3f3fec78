import { afterEach, expect, it } from 'vitest';
import { exampleRows } from '../../api/example-rows.ts';
import { piiHasher } from '../../onnx/index.ts';
import type { Input } from '../../schemas/index.ts';
import { bookings, post, register, serve, startServing, temporaryStores } from './serving/fixture.ts';

let end: () => Promise<void>;
afterEach(() => end());

it.each([
  ['one of a list', { type: 'string', values: ['web', 'shop'] }],
  ['short', { type: 'string', maxLength: 3 }],
] as const)(
  'an example is answered as it stands: a personal text that is %s, and a unit of its own',
  async (_, given) => {
    const pii = piiHasher('a key of more than sixteen bytes')!;
    const { stores, remove } = await temporaryStores();
    const channel = {
      maxLength: 200,
      impute: 'none',
      nullable: false,
      optional: false,
      feature: true,
      ...given,
      pii: true,
    };
    const version = await register(stores, 'bookings', bookings, {
      inputs: { ...bookings.graph.inputs, channel: channel as Input },
      warmUpRows: bookings.warmUpRows.map((row) => ({ ...row, channel: pii.hash('web') })),
      serving: { unit: 'user', unitPii: false, entityPii: false, piiKey: pii.fingerprint, allowEventTime: false },
    });
    await serve(stores, 'bookings', { champion: 1 });
    const serving = await startServing(stores, { pii });
    end = async () => {
      await serving.stop();
      await remove();
    };
    for (const row of exampleRows(version)) {
      expect(JSON.stringify(row)).not.toContain('pii:');
      expect((await post(serving.app, '/predict', row)).status).toBe(200);
    }
  },
);
