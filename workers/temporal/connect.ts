import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { UserError } from '../../schemas/index.ts';
import { shared } from './plugins.ts';
import { answers } from './ports.ts';
import { settingsFor } from './settings.ts';
import type { Settings } from './settings.ts';

export interface Connected {
  client: Client;
  connection: Connection;
  namespace: string;
  close: () => Promise<void>;
}

/**
 * A client of `server`, or, without one, of the server that the environment names.
 * It has the converter and the plugins that every client, worker and replay must share.
 *
 * @throws {UserError} `TemporalUnreachable` with the address and the reason
 */
export async function connect(
  server?: { address: string; namespace: string },
  env: NodeJS.ProcessEnv = process.env,
): Promise<Connected> {
  const settings = settingsFor(server, env);
  const connection = await openConnection(settings);
  const client = new Client({ connection, namespace: settings.namespace, ...shared });
  return { client, connection, namespace: settings.namespace, close: () => connection.close() };
}

/** The connection that workers need; give its Worker `...shared` too. Errors as `connect`. */
export async function connectWorker(
  server?: { address: string; namespace: string },
  env: NodeJS.ProcessEnv = process.env,
): Promise<NativeConnection> {
  const settings = settingsFor(server, env);
  try {
    return await NativeConnection.connect(settings.connection);
  } catch (err) {
    throw await unreachable(settings.address, err);
  }
}

/** A connection that has been answered. */
export async function openConnection({
  address,
  connection: { apiKey, metadata, tls },
}: Settings): Promise<Connection> {
  const connection = Connection.lazy({ address, apiKey, metadata, tls, connectTimeout: '5 seconds' });
  try {
    await connection.ensureConnected();
    return connection;
  } catch (err) {
    await connection.close(); // it would go on trying, and keep the process alive
    throw await unreachable(address, err);
  }
}

/** A gRPC client says no more than "deadline exceeded": a plain connection attempt tells why. */
async function unreachable(address: string, err: unknown): Promise<UserError> {
  const [, host = address, port = '7233'] = /^\[?([^[\]]+?)\]?(?::(\d+))?$/.exec(address) ?? [];
  let reason = '';
  const listening = await answers(host, Number(port), (why) => (reason = why));
  if (listening)
    reason = `something listens there, but does not answer as a Temporal server (${(err as Error).message}); is TLS or an API key needed, or set and not needed?`;
  else if (reason === 'ECONNREFUSED') reason = 'nothing listens there (connection refused)';
  else if (reason === 'ENOTFOUND' || reason === 'EAI_AGAIN') reason = `there is no host ${host}`;
  return new UserError(
    'TemporalUnreachable',
    `No Temporal server answers at ${address}: ${reason}. Start it or correct TEMPORAL_ADDRESS (or the profile that names it); unset it, and Gauntlet brings up a server of its own.`,
  );
}
