/**
 * What crosses a Temporal boundary is plain JSON: this converter refuses everything else, with its path, instead of
 * letting it arrive as something different (a Date as text, NaN as null, a Map as {}).
 *
 * Plain JavaScript, for the SDK loads it by require() in clients and workers, and Node 20 requires no TypeScript.
 * It is bundled into workflows too: nothing of Node's may be imported here.
 */
import { DefaultPayloadConverter, RawValue, ValueError } from '@temporalio/common';

/**
 * Where a value stops being plain JSON.
 *
 * @param {unknown} value
 * @param {string} path  what the value is called in the message
 * @returns {{ at: string, found: string } | undefined}
 */
export function firstNotJson(value, path = 'value') {
  const found = (what) => ({ at: path, found: what });
  if (typeof value === 'string' || typeof value === 'boolean') return undefined;
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : found(String(value));
  if (typeof value !== 'object') return found(typeof value); // undefined, bigint, function, symbol
  if (value === null) return undefined;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const bad = firstNotJson(value[i], `${path}[${i}]`);
      if (bad) return bad;
    }
    return undefined;
  }
  const proto = Object.getPrototypeOf(value);
  // A plain object of another realm has that realm's Object.prototype: in a workflow's sandbox both occur.
  const plain = proto === null || Object.getPrototypeOf(proto) === null;
  if (!plain || typeof value.toJSON === 'function')
    return found(value.constructor?.name ?? 'an object with a prototype');
  for (const key of Object.keys(value)) {
    // An optional field that is undefined is the same as an absent one, before and after.
    if (value[key] === undefined) continue;
    const bad = firstNotJson(value[key], /^[\w$]+$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`);
    if (bad) return bad;
  }
  return undefined;
}

class PlainJsonConverter extends DefaultPayloadConverter {
  /** @param {unknown} value */
  toPayload(value, ...rest) {
    // Nothing at all is "no value"; raw bytes and raw values (what the UI shows of a workflow) are Temporal's own business.
    if (value !== undefined && !(value instanceof Uint8Array) && !(value instanceof RawValue)) {
      const bad = firstNotJson(value);
      if (bad)
        throw new ValueError(
          `${bad.at} is ${bad.found}; what crosses a Temporal boundary is plain JSON: numbers that are finite, text, true, false, null, arrays and plain objects. Send dates as ISO text, tables and models as a hash.`,
        );
    }
    return super.toPayload(value, ...rest);
  }
}

export const payloadConverter = new PlainJsonConverter();
