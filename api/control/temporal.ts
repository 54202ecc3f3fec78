import {
  Connection,
  isGrpcServiceError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  type Client,
  type WorkflowExecutionDescription,
} from '@temporalio/client';
import { SearchAttributeType, TypedSearchAttributes, type SearchAttributePair } from '@temporalio/common';
import { decodeArrayFromPayloads } from '@temporalio/common/lib/internal-non-workflow/index.js';
import { SEARCH_ATTRIBUTES, TASK_QUEUE } from '../../schemas/index.ts';
import { ProblemError } from '../problem.ts';
import type { Started } from './shapes.ts';

export interface TemporalOptions {
  temporal: () => Promise<Client>;
  /** Temporal's web UI, for links. */
  uiUrl?: string;
  /** Longest wait for one answer of Temporal. */
  temporalTimeoutMs?: number;
}

/** gRPC's codes for a server that is not there, does not answer in time, or hung up. */
const UNREACHABLE = new Set([1, 4, 14]);
const DEFAULT_TIMEOUT_MS = 5_000;
/** A connection that gives up by itself says why, so it is given the time to. */
const REASON_MS = 3_000;

/**
 * Does one thing with Temporal under a deadline.
 *
 * @throws {ProblemError} 503 when Temporal does not answer
 */
export async function withTemporal<T>(o: TemporalOptions, act: (client: Client) => Promise<T>): Promise<T> {
  const ms = o.temporalTimeoutMs ?? DEFAULT_TIMEOUT_MS;
  let client: Client;
  try {
    client = await inTime(o.temporal(), ms + REASON_MS);
  } catch (error) {
    throw temporalDown(error);
  }
  try {
    return await client.withDeadline(Date.now() + ms, () => act(client));
  } catch (error) {
    if (isUnreachable(error)) throw temporalDown(error);
    throw error;
  }
}

async function inTime<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await Promise.race([
      promise,
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no connection within ${ms / 1000} seconds`)), ms);
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}

function isUnreachable(error: unknown): boolean {
  for (let e: unknown = error; e instanceof Error; e = e.cause)
    if (isGrpcServiceError(e) && UNREACHABLE.has(e.code)) return true;
  return false;
}

function temporalDown(error: unknown): ProblemError {
  return new ProblemError({
    status: 503,
    type: 'temporal-unreachable',
    title: 'Temporal does not answer',
    detail: `Temporal does not answer (${reasonInWords(error)}), so nothing can be started or followed. Predictions and rollback work all the same.`,
    next: 'See that Temporal is up (npx gauntlet doctor) and try again.',
  });
}

/** The innermost message: the outer ones say only that something failed. */
export function reasonInWords(error: unknown): string {
  let e = error;
  while (e instanceof Error && e.cause instanceof Error) e = e.cause;
  return e instanceof Error ? e.message : String(e);
}

/**
 * Starts a workflow under an id that only one may hold at a time.
 *
 * @throws {ProblemError} 409 when it is taken, saying by what and how to see it
 */
export async function startWorkflow(
  o: TemporalOptions,
  start: {
    type: string;
    workflowId: string;
    input: { model: string };
    summary: string;
    details: string;
    priorityKey: number;
    /** Attributes beside GauntletModel. */
    version?: number;
    follow: string;
  },
): Promise<Started> {
  const attributes: SearchAttributePair[] = [
    { key: { name: 'GauntletModel', type: SearchAttributeType.KEYWORD }, value: start.input.model },
  ];
  if (start.version !== undefined)
    attributes.push({ key: { name: 'GauntletVersion', type: SearchAttributeType.INT }, value: start.version });
  return withTemporal(o, async (client) => {
    try {
      const handle = await client.workflow.start(start.type, {
        taskQueue: TASK_QUEUE,
        workflowId: start.workflowId,
        args: [start.input],
        staticSummary: start.summary,
        staticDetails: start.details,
        typedSearchAttributes: new TypedSearchAttributes(attributes),
        priority: { priorityKey: start.priorityKey, fairnessKey: start.input.model },
      });
      const runId = handle.firstExecutionRunId;
      return {
        workflowId: start.workflowId,
        runId,
        follow: start.follow,
        ui: uiLink(o, client, start.workflowId, runId),
      };
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) throw await conflict(o, client, start);
      if (isGrpcServiceError(error) && error.code === 3 && /search attribute/i.test(error.details))
        throw new ProblemError({
          status: 503,
          type: 'search-attributes-missing',
          title: 'Temporal lacks a search attribute',
          detail: `Temporal refused to start ${start.workflowId}: ${error.details}.`,
          next: `Register them once: temporal operator search-attribute create ${Object.entries(SEARCH_ATTRIBUTES)
            .map(([name, type]) => `--name ${name} --type ${type}`)
            .join(' ')}`,
        });
      throw error;
    }
  });
}

async function conflict(
  o: TemporalOptions,
  client: Client,
  start: { workflowId: string; type: string; follow: string },
): Promise<ProblemError> {
  let since = '';
  let ui: string | undefined;
  try {
    const running = await client.workflow.getHandle(start.workflowId).describe();
    since = ` It is a ${running.type} since ${running.startTime.toISOString()}.`;
    ui = uiLink(o, client, start.workflowId, running.runId);
  } catch {
    // It ended just now, or cannot be described: the id alone must do.
  }
  return new ProblemError({
    status: 409,
    type: 'already-running',
    title: 'Already running',
    detail: `${start.workflowId} is running already, so nothing was started.${since}`,
    next: `See it at GET ${start.follow}${ui ? ` or ${ui}` : ''}; wait for it, or stop it with: temporal workflow cancel --workflow-id ${start.workflowId}`,
  });
}

/** @throws {ProblemError} 404 when there is no such workflow */
export async function describe(client: Client, workflowId: string): Promise<WorkflowExecutionDescription> {
  try {
    return await client.workflow.getHandle(workflowId).describe();
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    throw new ProblemError({
      status: 404,
      type: 'no-such-workflow',
      title: 'No such workflow',
      detail: `Temporal knows no workflow ${workflowId}. Closed ones are forgotten after the retention of its namespace.`,
      next: 'Recorded runs stay: GET /v1/runs lists them.',
    });
  }
}

/** Heartbeat details of a pending activity, decoded as the activity sent them; undefined where there are none. */
export async function heartbeatOf(
  client: Client,
  activity: NonNullable<WorkflowExecutionDescription['raw']['pendingActivities']>[number],
): Promise<unknown> {
  const payloads = activity.heartbeatDetails?.payloads;
  if (!payloads?.length) return undefined;
  const [details] = await decodeArrayFromPayloads(client.options.loadedDataConverter, payloads);
  return details;
}

export function uiLink(o: TemporalOptions, client: Client, workflowId: string, runId: string): string | undefined {
  if (!o.uiUrl) return undefined;
  const namespace = encodeURIComponent(client.options.namespace);
  return `${o.uiUrl.replace(/\/+$/, '')}/namespaces/${namespace}/workflows/${encodeURIComponent(workflowId)}/${runId}/history`;
}

/** The whole connection of a client: its operator service is not part of what the client itself promises. */
export function connectionOf(client: Client): Connection | undefined {
  return client.connection instanceof Connection ? client.connection : undefined;
}
