import { describe, expect, it } from 'vitest';
import { decodeColumn, decodeRows, piiHasher, requirePii } from '../../onnx/index.ts';
import { InputSchema, ModelSpec, type ModelVersion } from '../../schemas/index.ts';
import { expectGoldenError } from '../golden/errors.ts';

const HASHER = piiHasher('a secret of text, 30 bytes long')!;
const INPUTS = InputSchema.parse({
  email: { type: 'string', maxLength: 16, pii: true, nullable: true },
  city: { type: 'string', values: ['Lisbon', 'Porto'], pii: true },
  pages: { type: 'integer' },
});
const RAW = { email: 'anna@example.com', city: 'Porto', pages: 3 };
const HASHED = { email: HASHER.hash(RAW.email), city: HASHER.hash(RAW.city), pages: 3 };

describe('the keyed hash', () => {
  // Vectors by Python: hmac.new(key, value.encode(), 'sha256').hexdigest()
  it.each([
    ['a secret of text, 30 bytes long', 'anna@example.com', '6afe6a0a788297aab9e707b2fbad9ef5', '46a1acc61e1f3e66'],
    ['00112233445566778899aabbccddeeff', 'Zoë 🦆', '0d6729bb9dda7ddbf6b0a20d36c949ed', '39c0f4583c27de06'],
    ['00112233445566778899AABBCCDDEEFF\n', 'Zoë 🦆', '0d6729bb9dda7ddbf6b0a20d36c949ed', '39c0f4583c27de06'],
  ])('under %j of %j is HMAC-SHA-256, shortened', (key, value, hash, fingerprint) => {
    const hasher = piiHasher(key)!;
    expect(hasher.hash(value)).toBe(`pii:${hash}`);
    expect(hasher.fingerprint).toBe(fingerprint);
  });

  it('without a key there is no hasher; a hasher shows nothing of its key', () => {
    expect(piiHasher(undefined)).toBeUndefined();
    expect(piiHasher(' \n')).toBeUndefined();
    expect(JSON.stringify(HASHER)).toBe('{"fingerprint":"46a1acc61e1f3e66"}');
  });

  it('a key that is too short is refused, and not shown', async () => {
    const error = await expectGoldenError('pii-key-short', () => piiHasher('hunter2'));
    expect(error.message).not.toContain('hunter2');
    await expectGoldenError('pii-key-short-hex', () => piiHasher('0123456789abcdef'));
  });
});

describe('a personal input', () => {
  it('is hashed where it is decoded, and the hash is decoded to itself', () => {
    const decoded = decodeRows(INPUTS, [RAW], { personal: HASHER });
    const columns = { rows: 1, columns: { email: [HASHED.email], city: [HASHED.city], pages: Float64Array.of(3) } };
    expect(decoded).toEqual({ ok: true, columns });
    expect(decodeRows(INPUTS, [HASHED], { personal: 'hashed' })).toEqual(decoded);
    for (const personal of [HASHER, 'hashed'] as const)
      expect(decodeRows(INPUTS, [{ ...HASHED, email: null, city: 'Porto' }], { personal }).ok).toBe(
        personal === HASHER,
      );
  });

  it('a column is decoded by the same rules; missing stays missing', () => {
    const [email, raw] = [INPUTS.email!, [RAW.email, null, '']];
    expect(decodeColumn('email', email, raw, { personal: HASHER })).toEqual([HASHED.email, null, null]);
    expect(decodeColumn('email', email, [HASHED.email, null], { personal: 'hashed' })).toEqual([HASHED.email, null]);
  });

  it('is held against values and maxLength as it came, and no message shows it', () => {
    const bad = { email: 'x'.repeat(17), city: 'Lissabon', pages: 3 };
    expect(decodeRows(INPUTS, [bad], { personal: HASHER })).toEqual({
      ok: false,
      issues: [
        {
          at: 'email',
          found: 'a string of 17 characters (personal)',
          expected: 'a string of 1 to 16 characters, or null',
        },
        { at: 'city', found: 'a string of 8 characters (personal)', expected: 'one of "Lisbon", "Porto"' },
      ],
    });
    const number = decodeRows(INPUTS, [{ ...RAW, city: 12_345 }], { personal: HASHER });
    expect(number).toMatchObject({ issues: [{ at: 'city', found: 'a number (personal)' }] });
    expect(() => decodeColumn('city', INPUTS.city!, ['Lissabon'], { personal: HASHER })).toThrow(
      /a string of 8 characters \(personal\)/,
    );
  });

  it('that comes as it is where hashes are due is refused, and not shown', () => {
    expect(decodeRows(INPUTS, [RAW], { personal: 'hashed' })).toEqual({
      ok: false,
      issues: [
        { at: 'email', found: 'a string of 16 characters (personal)', expected: 'the keyed hash of a personal value' },
        { at: 'city', found: 'a string of 5 characters (personal)', expected: 'the keyed hash of a personal value' },
      ],
    });
  });

  it('is never passed on as it is because somebody forgot the hasher', () => {
    expect(() => decodeRows(INPUTS, [RAW])).toThrow(expect.objectContaining({ type: 'NoPiiKey' }) as Error);
    expect(decodeRows(InputSchema.parse({ pages: { type: 'integer' } }), [{ pages: 3 }]).ok).toBe(true);
  });

  it('another column may be hidden without being hashed', () => {
    const age = InputSchema.parse({ age: { type: 'integer', max: 120 } }).age!;
    expect(() => decodeColumn('age', age, Float64Array.of(40, 977), { hide: true })).toThrow(
      'row 2 has a number (personal); expected a whole number of at most 120.',
    );
  });
});

describe('requirePii', () => {
  const spec = (o: object = {}) =>
    ModelSpec.parse({
      apiVersion: 'gauntlet/v1',
      name: 'small',
      owner: 'us',
      description: 'test',
      task: 'binary',
      sources: { visits: { file: 'visits.csv' } },
      rows: { entity: 'visitor', entityPii: true },
      inputs: { email: { type: 'string', pii: true } },
      rollout: { unit: 'session', unitPii: true },
      ...o,
    });
  const version = (piiKey: string) => ({
    model: 'small',
    n: 3,
    entity: 'visitor',
    inputs: spec().inputs,
    serving: { unit: 'session', unitPii: true, entityPii: true, piiKey, allowEventTime: false },
  });

  it('a model without personal values needs no key', () => {
    const plain = spec({ rows: { entity: 'id' }, inputs: { pages: { type: 'integer' } }, rollout: {} });
    expect(requirePii(plain, undefined)).toBeUndefined();
    expect(requirePii(plain, HASHER)).toBe(HASHER);
  });

  it('the right key passes', () => {
    expect(requirePii(spec(), HASHER)).toBe(HASHER);
    expect(requirePii(version(HASHER.fingerprint) as ModelVersion, HASHER)).toBe(HASHER);
  });

  it('a key that is missing or another is told in full', async () => {
    await expectGoldenError('pii-no-key', () => requirePii(spec(), undefined));
    await expectGoldenError('pii-no-key-version', () =>
      requirePii(version(HASHER.fingerprint) as ModelVersion, undefined),
    );
    await expectGoldenError('pii-wrong-key', () => requirePii(version('46a1acc61e1f3e67') as ModelVersion, HASHER));
  });
});
