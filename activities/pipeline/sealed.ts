import type * as z from 'zod';
import type { Stores } from '../../bucket/index.ts';
import { didYouMean } from '../../schemas/index.ts';

/**
 * Stores a value as a JSON object under its hash: what one step hands to the next.
 * Keys keep the order they were made in: the order of inputs is the order in the graph.
 */
export async function writeObject(stores: Stores, value: unknown): Promise<string> {
  const { sha256 } = await stores.objects.put(new TextEncoder().encode(JSON.stringify(value)));
  return sha256;
}

export async function readObject<T = unknown>(stores: Stores, sha256: string): Promise<T> {
  return JSON.parse(new TextDecoder().decode(await stores.objects.read(sha256))) as T;
}

/** One zod issue in words: where, and what was expected; a mistyped key gets the nearest that there is. */
export function expectedIn(issue: z.core.$ZodIssue, root: unknown): string {
  const path = issue.path.join('.');
  if (issue.code === 'unrecognized_keys') {
    let place: unknown = root;
    for (const step of issue.path) place = (place as Record<PropertyKey, unknown>)?.[step];
    const siblings = Object.keys(place ?? {}).filter((key) => !issue.keys.includes(key));
    return issue.keys
      .map((key) => `there is no ${[path, key].filter(Boolean).join('.')}.${didYouMean(key, siblings)}`)
      .join('; ');
  }
  const found = issue.path.reduce<unknown>((place, step) => (place as Record<PropertyKey, unknown>)?.[step], root);
  return `${path}: found ${JSON.stringify(found) ?? 'nothing'}; expected ${inWords(issue)}`;
}

function inWords(issue: z.core.$ZodIssue): string {
  if (issue.code === 'too_small') return `${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}`;
  if (issue.code === 'too_big') return `${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`;
  if (issue.code === 'invalid_value') return `one of ${issue.values.map(String).join(', ')}`;
  if (issue.code === 'invalid_type') return `a value of type ${issue.expected}`;
  return issue.message;
}
