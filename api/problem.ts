import type { Context, ErrorHandler } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import * as z from 'zod';
import { UserError, type Issue, type Problem } from '../schemas/index.ts';
import { requestId } from './request-id.ts';

export interface ProblemFields {
  status: ContentfulStatusCode;
  /** What went wrong, the same words each time. */
  title: string;
  /** A short name, such as unknown-model; leaves as urn:gauntlet:<type>. */
  type?: string;
  /** What went wrong this time. */
  detail?: string;
  issues?: Issue[];
  /** What to do about it. */
  next?: string;
  headers?: Record<string, string>;
}

/** Thrown where an answer cannot be given; `problemOnError` turns it into problem JSON. */
export class ProblemError extends Error {
  readonly problem: ProblemFields;
  constructor(problem: ProblemFields) {
    super(problem.detail ?? problem.title);
    this.name = 'ProblemError';
    this.problem = problem;
  }
}

/** RFC 9457 problem JSON: how every error of the API leaves. Carries the request id as header and in `instance`. */
export function problem(c: Context, fields: ProblemFields): Response {
  const { body, headers } = problemParts(fields, requestId(c));
  return c.body(body, fields.status, headers);
}

/** The same for where there is no app yet. */
export function problemParts(fields: ProblemFields, id: string): { body: string; headers: Record<string, string> } {
  const body: Problem = {
    type: fields.type ? `urn:gauntlet:${fields.type}` : 'about:blank',
    title: fields.title,
    status: fields.status,
    detail: fields.detail,
    instance: `urn:gauntlet:request:${id}`,
    issues: fields.issues?.length ? fields.issues : undefined,
    next: fields.next,
  };
  return {
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/problem+json', 'x-request-id': id, ...fields.headers },
  };
}

/**
 * The answer to a UserError, by its type. What the store lacks is no mistake of the caller's: a bucket that cannot be
 * used 503, what it holds damaged 500, a full disk 507. A mistake in the request, or of whoever described the model:
 * what is not there 404, what came at the wrong moment 409, all else 422.
 */
function statusOfUserError(type: string): 404 | 409 | 422 | 500 | 503 | 507 {
  const name = slug(type);
  if (BUCKET_FAULTS.has(type)) return 503;
  if (DAMAGE.has(type)) return 500;
  if (/^(no|unknown|not-found)(-|$)/.test(name)) return 404;
  if (/^(needs|held|moved|conflict|already|nothing)(-|$)/.test(name)) return 409;
  return name === 'disk-full' ? 507 : 422;
}

const BUCKET_FAULTS = new Set([
  'BadBucket',
  'BucketAccessDenied',
  'BucketUnreachable',
  'NoCredentials',
  'NoSuchBucket',
  'OutOfMemory',
]);
const DAMAGE = new Set(['BrokenRecord', 'CorruptModel', 'CorruptObject', 'NoSuchObject', 'WarmUpFailed', 'WrongModel']);

/** "NoSuchModel" and "no such model" both as "no-such-model". */
const slug = (type: string): string =>
  type
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replace(/[^A-Za-z0-9]+/g, '-')
    .toLowerCase();

/** "no-such-model" as "No such model". */
const words = (type: string): string => {
  const text = slug(type).replaceAll('-', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
};

export function issuesOfZod(error: z.ZodError): Issue[] {
  return error.issues.flatMap((issue) => {
    const at = (...more: PropertyKey[]) => z.core.toDotPath([...issue.path, ...more]) || 'body';
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => ({ at: at(key), found: 'an unknown field', expected: 'no such field' }));
    return [{ at: at(), found: foundOf(issue.input), expected: issue.message }];
  });
}

function foundOf(input: unknown): string {
  if (input === undefined) return 'nothing or something else';
  const text = JSON.stringify(input) ?? typeof input;
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** What a thrown value says to the caller. Anything unforeseen says nothing of our insides. */
export function problemOf(error: unknown): ProblemFields {
  if (error instanceof ProblemError) return error.problem;
  if (error instanceof UserError)
    return {
      status: statusOfUserError(error.type),
      type: slug(error.type),
      title: words(error.type),
      detail: error.message,
      issues: error.issues,
    };
  if (error instanceof z.ZodError)
    return { status: 422, type: 'invalid', title: 'The request is not valid', issues: issuesOfZod(error) };
  if (error instanceof HTTPException && error.status < 500)
    return { status: error.status, title: error.message || 'The request was refused' };
  return {
    status: 500,
    type: 'internal',
    title: 'Something failed on our side',
    detail: 'The request may be fine: the fault is in the server, whose log has the cause under this request id.',
    next: 'Try again; if it stays, give the request id to whoever runs this server.',
  };
}

/** Where errors are noted: pino's logger, or anything like it. */
export interface ErrorLog {
  error(fields: object, message: string): void;
}

/** `app.onError(problemOnError(log))`: every error as problem JSON; those of ours are logged with their stack. */
export const problemOnError =
  (log: ErrorLog): ErrorHandler =>
  (error, c) => {
    const fields = problemOf(error);
    if (fields.status >= 500)
      log.error({ requestId: requestId(c), method: c.req.method, path: c.req.path, err: error }, 'request failed');
    return problem(c, fields);
  };

/** `app.notFound(problemNotFound)`: for the outermost app. */
export const problemNotFound = (c: Context): Response =>
  problem(c, {
    status: 404,
    type: 'no-such-page',
    title: 'There is nothing here',
    detail: `${c.req.method} ${c.req.path} is not a route of this server.`,
    next: 'GET /docs shows every route.',
  });

/** `app.all(path, problemMethod('POST'))` after the path's own route: the method was wrong, not the path. */
export const problemMethod =
  (...allowed: string[]) =>
  (c: Context): Response =>
    problem(c, {
      status: 405,
      type: 'wrong-method',
      title: 'Wrong method',
      detail: `${c.req.path} takes ${allowed.join(' or ')}, and ${c.req.method} came.`,
      headers: { allow: allowed.join(', ') },
    });
