import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { UserError } from '../../schemas/index.ts';
import { openConnection } from './connect.ts';
import { adoptDevServer, startDevServer, withHomeLock } from './dev-server.ts';
import type { TemporalServer } from './dev-server.ts';
import { findExecutable, TEMPORAL_CLI } from './executable.ts';
import { namedServer } from './settings.ts';
import type { Settings } from './settings.ts';

/**
 * Finds a Temporal server or brings one up, and says each step in one line.
 *
 *   the one that TEMPORAL_ADDRESS or a profile names → ours that still runs → a dev server of our own, whose
 *   program is on PATH, in `<home>/cache`, or fetched into it
 *
 * A server that was named and does not answer is an error, never a reason to use another.
 *
 * @throws {UserError} `TemporalUnreachable`, `TemporalSettings`, `NamespaceMissing`, `ProgramNotFound`, `TemporalDidNotStart`
 */
export async function findTemporal(o: {
  home: string;
  say: (line: string) => void;
  allowInstall?: boolean;
  env?: NodeJS.ProcessEnv;
}): Promise<TemporalServer> {
  const { say, allowInstall = true, env = process.env } = o;
  const home = resolve(o.home);
  const named = namedServer(env);
  if (named.server) return useNamed(named.server, say);
  if (named.idle.length > 0)
    say(`Temporal: ${named.idle.join(' and ')} is set, but no TEMPORAL_ADDRESS; a local server needs neither`);
  mkdirSync(home, { recursive: true });
  return withHomeLock(home, say, async () => {
    const running = await adoptDevServer(home, named.namespace);
    if (running) {
      say(`Temporal: the dev server of ${home} is already running at ${running.address}, UI at ${running.uiUrl}`);
      return running;
    }
    const binary = await findExecutable(TEMPORAL_CLI, { cache: join(home, 'cache'), say, env, allowInstall });
    return startDevServer({ home, binary, namespace: named.namespace, env, say });
  });
}

async function useNamed(settings: Settings, say: (line: string) => void): Promise<TemporalServer> {
  const { address, namespace } = settings;
  const connection = await openConnection(settings);
  try {
    await connection.workflowService.describeNamespace({ namespace });
  } catch (err) {
    const { code, details } = err as { code?: number; details?: string };
    if (code === 5)
      throw new UserError(
        'NamespaceMissing',
        `The Temporal server at ${address} has no namespace ${namespace}. Correct TEMPORAL_NAMESPACE, or create it: temporal operator namespace create --address ${address} --namespace ${namespace}`,
      );
    if (code === 7 || code === 16)
      throw new UserError(
        'TemporalRefused',
        `The Temporal server at ${address} refuses us for namespace ${namespace} (${details}). Look at TEMPORAL_API_KEY and at the client certificate.`,
      );
    throw err;
  } finally {
    await connection.close();
  }
  say(`Temporal: using the server at ${address}, namespace ${namespace}, as the environment says`);
  return { address, namespace, started: false, stop: async () => {} };
}
