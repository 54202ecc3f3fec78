import { existsSync } from 'node:fs';
import { loadClientConfigProfile, toClientOptions } from '@temporalio/envconfig';
import type { NativeConnectionOptions } from '@temporalio/worker';
import { UserError } from '../../schemas/index.ts';

/** How to reach one server. */
export interface Settings {
  address: string;
  namespace: string;
  connection: NativeConnectionOptions;
}

export interface Named {
  /** The server that the environment or a config file names; undefined if neither names one. */
  server?: Settings;
  namespace: string;
  /** What was set that means nothing without an address. */
  idle: string[];
}

/**
 * Reads what a person said about Temporal: TEMPORAL_* variables, then the profile in a config file, both as
 * Temporal's own command reads them (address, namespace, TLS, API key).
 *
 * @throws {UserError} `TemporalSettings` where a file or a profile that was asked for is absent or unreadable
 */
export function namedServer(env: NodeJS.ProcessEnv = process.env): Named {
  const set = Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => Boolean(entry[1])));
  const file = set['TEMPORAL_CONFIG_FILE'];
  if (file && !existsSync(file))
    throw new UserError(
      'TemporalSettings',
      `TEMPORAL_CONFIG_FILE is ${file}, and there is no such file. Correct or unset it.`,
    );
  let profile;
  try {
    profile = loadClientConfigProfile({ overrideEnvVars: set });
  } catch (err) {
    throw new UserError(
      'TemporalSettings',
      `Temporal's client settings cannot be read: ${(err as Error).message}. Look at TEMPORAL_PROFILE (${set['TEMPORAL_PROFILE'] ?? 'not set'}) and at ${file ?? "temporal.toml in the system's config folder"}.`,
    );
  }
  const namespace = profile.namespace ?? 'default';
  if (!profile.address) {
    if (set['TEMPORAL_PROFILE'])
      throw new UserError(
        'TemporalSettings',
        `The profile ${set['TEMPORAL_PROFILE']} (TEMPORAL_PROFILE) names no address. Give it one, or set TEMPORAL_ADDRESS, or unset TEMPORAL_PROFILE for a local server.`,
      );
    return { namespace, idle: ['TEMPORAL_API_KEY', 'TEMPORAL_TLS'].filter((name) => set[name]) };
  }
  const { connectionOptions } = toClientOptions(profile);
  return {
    namespace,
    idle: [],
    server: { address: profile.address, namespace, connection: { ...connectionOptions, address: profile.address } },
  };
}

/**
 * How to reach `server`; without one, whatever the environment names, or a local server on the usual port.
 * Credentials go only to the address that they were given with.
 */
export function settingsFor(
  server?: { address: string; namespace: string },
  env: NodeJS.ProcessEnv = process.env,
): Settings {
  const named = namedServer(env).server;
  if (named && (!server || server.address === named.address))
    return { ...named, namespace: server?.namespace ?? named.namespace };
  const { address, namespace } = server ?? { address: '127.0.0.1:7233', namespace: namedServer(env).namespace };
  return { address, namespace, connection: { address } };
}
