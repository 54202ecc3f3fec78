import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstNotJson, payloadConverter } from '../../../workers/temporal/payload-converter.js';

describe('the payload converter', () => {
  it('gives back every plain JSON value as it was', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        const there = payloadConverter.fromPayload(payloadConverter.toPayload(value));
        expect(there).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it.each([
    [{ a: { b: [1, new Date(0)] } }, 'value.a.b[1]', 'Date'],
    [{ 'lead time': Number.NaN }, 'value["lead time"]', 'NaN'],
    [[Infinity], 'value[0]', 'Infinity'],
    [{ rows: new Map() }, 'value.rows', 'Map'],
    [{ rows: new Set() }, 'value.rows', 'Set'],
    [{ x: new Float64Array(2) }, 'value.x', 'Float64Array'],
    [{ x: new Uint8Array(2) }, 'value.x', 'Uint8Array'],
    [{ n: 1n }, 'value.n', 'bigint'],
    [{ f: () => 1 }, 'value.f', 'function'],
    [[undefined], 'value[0]', 'undefined'],
    [new URL('file:///a'), 'value', 'URL'],
    [{ e: new Error('no') }, 'value.e', 'Error'],
  ])('names where %o is not plain JSON', (value, at, found) => {
    expect(firstNotJson(value)).toEqual({ at, found });
    expect(() => payloadConverter.toPayload(value)).toThrow(`${at} is ${found}`);
  });

  it('takes undefined as no value, and an optional field that is undefined as absent', () => {
    expect(payloadConverter.fromPayload(payloadConverter.toPayload(undefined))).toBeUndefined();
    expect(payloadConverter.fromPayload(payloadConverter.toPayload({ a: 1, b: undefined }))).toEqual({ a: 1 });
  });
});
