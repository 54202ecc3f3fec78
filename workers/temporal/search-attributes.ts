import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from '@temporalio/client';
import { SEARCH_ATTRIBUTES, UserError } from '../../schemas/index.ts';

type Attributes = Readonly<Record<string, string>>;

/**
 * Registers the search attributes that our workflows start with: a start with an unregistered one fails, and an
 * update of one in a running workflow wedges it. Safe to repeat; returns once the server accepts them in queries.
 *
 * @returns the names that were missing and are now registered
 * @throws {UserError} `SearchAttributeType` if the namespace has one as another type; `SearchAttributesMissing` where
 *   this connection may not create them (Temporal Cloud), with the command that does
 */
export async function ensureSearchAttributes(
  connection: Connection,
  namespace: string,
  wanted: Attributes = SEARCH_ATTRIBUTES,
): Promise<string[]> {
  const registered = await listed(connection, namespace, wanted);
  const wrong = Object.keys(wanted).filter((name) => (registered[name] ?? wanted[name]) !== wanted[name]);
  if (wrong.length > 0) throw wrongType(namespace, wrong, registered, wanted);
  const missing = Object.keys(wanted).filter((name) => !(name in registered));
  if (missing.length === 0) return [];
  try {
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, typeNumber(wanted[name]!)])),
    });
  } catch (err) {
    // Two processes that start at once may both find it missing; the other's registration is as good as ours.
    const now = await listed(connection, namespace, wanted);
    if (missing.some((name) => now[name] !== wanted[name])) throw refused(connection, namespace, missing, wanted, err);
  }
  await untilQueryable(connection, namespace, missing, wanted);
  return missing;
}

/** Registered attributes and their types; where they may not be listed, those of `wanted` that a query knows. */
async function listed(connection: Connection, namespace: string, wanted: Attributes): Promise<Record<string, string>> {
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    return Object.fromEntries(Object.entries(customAttributes ?? {}).map(([name, type]) => [name, typeName(type)]));
  } catch {
    const known: Record<string, string> = {};
    for (const name of Object.keys(wanted))
      if (await isQueryable(connection, namespace, name)) known[name] = wanted[name]!;
    return known;
  }
}

async function isQueryable(connection: Connection, namespace: string, name: string): Promise<boolean> {
  try {
    await connection.workflowService.countWorkflowExecutions({ namespace, query: `${name} IS NOT NULL` });
    return true;
  } catch (err) {
    if ((err as { code?: number }).code === 3) return false; // INVALID_ARGUMENT: no such attribute
    throw err;
  }
}

/** A server reads new attributes into its caches within seconds, not at once. */
async function untilQueryable(connection: Connection, namespace: string, names: string[], wanted: Attributes) {
  const deadline = Date.now() + 60_000;
  for (const name of names)
    while (!(await isQueryable(connection, namespace, name))) {
      if (Date.now() > deadline)
        throw new UserError(
          'SearchAttributesMissing',
          `Search attribute ${name} was created in namespace ${namespace} a minute ago, and the server still refuses it in queries. Start again; if it stays so, run: ${command(connection, namespace, [name], wanted)}`,
        );
      await sleep(100);
    }
}

function wrongType(namespace: string, names: string[], found: Attributes, wanted: Attributes): UserError {
  const first = names[0]!;
  return new UserError(
    'SearchAttributeType',
    `Namespace ${namespace} has search attribute ${first} as ${found[first]}; Gauntlet needs it as ${wanted[first]}. A type cannot be changed: use another namespace (TEMPORAL_NAMESPACE), or, if nothing else uses it, run: temporal operator search-attribute remove --namespace ${namespace} ${names.map((n) => `--name ${n}`).join(' ')} and start again.`,
    names.map((name) => ({ at: name, found: String(found[name]), expected: wanted[name]! })),
  );
}

function refused(connection: Connection, namespace: string, missing: string[], wanted: Attributes, err: unknown) {
  const why = (err as { details?: string }).details || (err as Error).message;
  return new UserError(
    'SearchAttributesMissing',
    `Namespace ${namespace} lacks search attributes ${missing.join(', ')}, and the server refused to create them (${why}). Whoever administers it must run: ${command(connection, namespace, missing, wanted)}`,
    missing.map((name) => ({ at: name, found: 'not registered', expected: wanted[name]! })),
  );
}

function command(connection: Connection, namespace: string, names: string[], wanted: Attributes): string {
  const cloud = /\.(tmprl\.cloud|api\.temporal\.io)(:\d+)?$/.test(connection.options.address);
  return cloud
    ? `tcld namespace search-attributes add --namespace ${namespace} ${names.map((n) => `--search-attribute "${n}=${wanted[n]}"`).join(' ')}`
    : `temporal operator search-attribute create --namespace ${namespace} ${names.map((n) => `--name ${n} --type ${wanted[n]}`).join(' ')}`;
}

/** temporal.api.enums.v1.IndexedValueType. */
const TYPES: Record<string, number> = {
  Text: 1,
  Keyword: 2,
  Int: 3,
  Double: 4,
  Bool: 5,
  Datetime: 6,
  KeywordList: 7,
};

const typeNumber = (name: string): number => TYPES[name]!;

const typeName = (type: number): string => Object.keys(TYPES).find((name) => TYPES[name] === type) ?? `type ${type}`;
