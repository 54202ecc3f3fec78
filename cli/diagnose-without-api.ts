import { existsSync } from 'node:fs';
import { diagnose } from '../api/control/doctor.ts';
import type { Diagnosis } from '../api/control/shapes.ts';
import { openStores } from '../bucket/index.ts';
import { connect } from '../workers/temporal/index.ts';
import { bucketFolder } from './environment.ts';

/** The doctor's checks from this process, when no API answers. */
export async function diagnoseWithoutApi(api: string, where: { bucket: string; home: string }): Promise<Diagnosis> {
  const down = {
    check: 'api',
    says: 'fail' as const,
    found: `does not answer at ${api}`,
    next: 'Start it with npx gauntlet up, or name it with --api or GAUNTLET_API.',
  };
  const folder = bucketFolder(where.bucket);
  if (folder !== undefined && !existsSync(folder))
    return {
      says: 'fail',
      checks: [
        down,
        { check: 'bucket', says: 'warn', found: `${where.bucket} is not there yet`, next: 'npx gauntlet up makes it.' },
      ],
    };
  let close = async () => {};
  try {
    const stores = await openStores(where);
    const { checks } = await diagnose({
      stores,
      temporal: async () => {
        const { client, connection } = await connect();
        close = () => connection.close();
        return client;
      },
    });
    return { says: 'fail', checks: [down, ...checks] };
  } finally {
    await close();
  }
}
