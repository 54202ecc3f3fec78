import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import type { Stores } from '../../bucket/index.ts';
import { SEARCH_ATTRIBUTES, TASK_QUEUE, TRAINING_TASK_QUEUE } from '../../schemas/index.ts';
import { ProblemError } from '../problem.ts';
import { listModels } from './models.ts';
import type { Check, Diagnosis, ModelSummary } from './shapes.ts';
import { connectionOf, reasonInWords, withTemporal, type TemporalOptions } from './temporal.ts';
import { hasPollers } from './training.ts';

/** temporal.api.enums.v1.IndexedValueType */
const INDEXED_VALUE_TYPES = ['Unspecified', 'Text', 'Keyword', 'Int', 'Double', 'Bool', 'Datetime', 'KeywordList'];

/** Scratch keys of the bucket's check: of no record, and removed again. */
const PROBES = 'scratch/doctor/';

/** Checks what Gauntlet stands on: bucket, models, Temporal. Never throws: what cannot be checked is a failed check. */
export async function diagnose(o: TemporalOptions & { stores: Stores; serving?: () => Check[] }): Promise<Diagnosis> {
  const checks = [
    await checkBucket(o.stores),
    ...(await checkModels(o.stores)),
    ...(o.serving?.() ?? []),
    ...(await checkTemporal(o)),
  ];
  const says = (['fail', 'warn'] as const).find((worst) => checks.some((check) => check.says === worst)) ?? 'ok';
  return { says, checks };
}

async function checkBucket({ bucket }: Stores): Promise<Check> {
  const check = 'bucket';
  const key = `${PROBES}${randomUUID()}`;
  const body = new TextEncoder().encode(key);
  try {
    if (!(await bucket.create(key, body))) throw new Error(`a new key ${key} was said to exist`);
    const read = await bucket.read(key);
    if (!read || Buffer.compare(read, body) !== 0) throw new Error(`${key} did not come back as it was written`);
    await bucket.remove(key);
    return { check, says: 'ok', found: 'a key was created, read back and removed' };
  } catch (error) {
    return {
      check,
      says: 'fail',
      found: reasonInWords(error),
      next: 'See GAUNTLET_BUCKET, its permissions and the space left; nothing can be recorded until this works.',
    };
  }
}

async function checkModels(stores: Stores): Promise<Check[]> {
  let models: ModelSummary[];
  try {
    models = await listModels(stores);
  } catch (error) {
    return [
      {
        check: 'models',
        says: 'fail',
        found: reasonInWords(error),
        next: 'A record in the bucket cannot be read: see the message.',
      },
    ];
  }
  if (models.length === 0)
    return [{ check: 'models', says: 'warn', found: 'no model is applied', next: 'npx gauntlet apply <folder>' }];
  return Promise.all(models.map((model) => checkModel(stores, model)));
}

async function checkModel(stores: Stores, { model, champion, revision }: ModelSummary): Promise<Check> {
  const check = `model ${model}`;
  if (champion === undefined)
    return { check, says: 'warn', found: 'nothing serves yet', next: `npx gauntlet train ${model} --promote` };
  try {
    const version = await stores.versions.read(model, champion);
    if (!version) throw new Error(`revision ${revision} serves version ${champion}, which has no record`);
    await stores.objects.read(version.onnx.sha256);
    return { check, says: 'ok', found: `version ${champion} serves (revision ${revision}), its graph is whole` };
  } catch (error) {
    return {
      check,
      says: 'fail',
      found: reasonInWords(error),
      next: `Serve another version: npx gauntlet rollback ${model} --reason "graph lost"`,
    };
  }
}

/** The checks that need no bucket. */
export async function checkTemporal(o: TemporalOptions): Promise<Check[]> {
  try {
    return await withTemporal(o, async (client) => [
      {
        check: 'temporal',
        says: 'ok',
        found: `namespace ${client.options.namespace} answers (${(await client.workflowService.getSystemInfo({})).serverVersion ?? 'version unknown'})`,
      },
      ...(await checkSearchAttributes(client)),
      ...(await checkWorkers(client)),
      ...(await checkWedged(client)),
    ]);
  } catch (error) {
    return [
      {
        check: 'temporal',
        says: 'fail',
        found: error instanceof ProblemError ? error.message : reasonInWords(error),
        next: 'Start it with npx gauntlet up, or name one with TEMPORAL_ADDRESS. Predictions and rollback work meanwhile.',
      },
    ];
  }
}

async function checkSearchAttributes(client: Client): Promise<Check[]> {
  const connection = connectionOf(client);
  if (!connection) return [];
  const check = 'search attributes';
  const create = (names: string[]) =>
    `temporal operator search-attribute create ${names.map((name) => `--name ${name} --type ${SEARCH_ATTRIBUTES[name as keyof typeof SEARCH_ATTRIBUTES]}`).join(' ')}`;
  let registered: Record<string, number>;
  try {
    const answer = await connection.operatorService.listSearchAttributes({ namespace: client.options.namespace });
    registered = answer.customAttributes;
  } catch (error) {
    return [{ check, says: 'warn', found: `cannot be listed here: ${reasonInWords(error)}` }];
  }
  const missing = Object.keys(SEARCH_ATTRIBUTES).filter((name) => !(name in registered));
  if (missing.length > 0)
    return [{ check, says: 'fail', found: `missing: ${missing.join(', ')}`, next: create(missing) }];
  const wrong = Object.entries(SEARCH_ATTRIBUTES)
    .map(([name, type]) => ({ name, type, is: INDEXED_VALUE_TYPES[registered[name]!] ?? 'unknown' }))
    .filter(({ type, is }) => type !== is);
  if (wrong.length > 0)
    return [
      {
        check,
        says: 'fail',
        found: wrong.map(({ name, type, is }) => `${name} is ${is}, not ${type}`).join('; '),
        next: `Remove them (temporal operator search-attribute remove ${wrong.map(({ name }) => `--name ${name}`).join(' ')}), then ${create(wrong.map(({ name }) => name))}`,
      },
    ];
  return [{ check, says: 'ok', found: Object.keys(SEARCH_ATTRIBUTES).join(', ') }];
}

async function checkWorkers(client: Client): Promise<Check[]> {
  const checks: Check[] = [];
  for (const queue of [TASK_QUEUE, TRAINING_TASK_QUEUE])
    checks.push(
      (await hasPollers(client, queue))
        ? { check: `workers of ${queue}`, says: 'ok', found: 'at least one polls' }
        : {
            check: `workers of ${queue}`,
            says: 'warn',
            found: 'none polls: what is started waits',
            next: 'Start one with npx gauntlet up',
          },
    );
  return checks;
}

/** A wedged workflow is open and retries its task for ever; newer servers say so in a search attribute of their own. */
async function checkWedged(client: Client): Promise<Check[]> {
  const check = 'workflows';
  const wedged: string[] = [];
  try {
    const query = 'TemporalReportedProblems IS NOT NULL AND ExecutionStatus = "Running"';
    for await (const workflow of client.workflow.list({ query })) {
      wedged.push(workflow.workflowId);
      if (wedged.length === 10) break;
    }
  } catch {
    return []; // This server does not know the attribute.
  }
  if (wedged.length === 0) return [{ check, says: 'ok', found: 'none is wedged' }];
  return [
    {
      check,
      says: 'fail',
      found: `wedged: ${wedged.join(', ')}`,
      next: `Their tasks fail and are tried again: see the error with temporal workflow describe --workflow-id ${wedged[0]}`,
    },
  ];
}
