import { existsSync } from 'node:fs';
import { checkTemporal, diagnose } from '../api/control/doctor.ts';
import type { Check, Diagnosis } from '../api/control/shapes.ts';
import { openStores } from '../bucket/index.ts';
import { connect, devServerAddress, namedServer } from '../workers/temporal/index.ts';
import { bucketFolder } from './environment.ts';

/** The doctor's checks from this process, when no API answers. */
export async function diagnoseWithoutApi(api: string, where: { bucket: string; home: string }): Promise<Diagnosis> {
  const down: Check = {
    check: 'api',
    says: 'fail',
    found: `does not answer at ${api}`,
    next: 'Start it with npx gauntlet up, or name it with --api or GAUNTLET_API.',
  };
  let close = async () => {};
  const temporal = async () => {
    const connected = await connect(serverOf(where.home));
    close = connected.close;
    return connected.client;
  };
  try {
    const folder = bucketFolder(where.bucket);
    if (folder === undefined || existsSync(folder)) {
      const { checks } = await diagnose({ stores: await openStores(where), temporal });
      return { says: 'fail', checks: [down, ...checks] };
    }
    const absent: Check = {
      check: 'bucket',
      says: 'warn',
      found: `${where.bucket} is not there yet`,
      next: 'npx gauntlet up makes it.',
    };
    return { says: 'fail', checks: [down, absent, ...(await checkTemporal({ temporal }))] };
  } finally {
    await close();
  }
}

/** This home's dev server, on whichever port it found, where nobody named a server. */
function serverOf(home: string): { address: string; namespace: string } | undefined {
  const { server, namespace } = namedServer();
  const address = server ? undefined : devServerAddress(home);
  return address === undefined ? undefined : { address, namespace };
}
