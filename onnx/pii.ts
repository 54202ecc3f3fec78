import { createHash, createHmac } from 'node:crypto';
import {
  hashedNames,
  PII_HASH,
  UserError,
  type ModelSpec,
  type ModelVersion,
  type PiiHasher,
} from '../schemas/index.ts';

/** How personal values come: as people give them, to be hashed by this; or as hashes, from the log or from sealed rows. */
export type Personal = PiiHasher | 'hashed';

const LEAST_BYTES = 16;
const BLOCK_BYTES = 64;
const KEY = `a secret of at least ${LEAST_BYTES} bytes, as text or as hexadecimal digits, the same wherever a model with personal values is trained or served`;
const MAKE_ONE =
  'make one with: openssl rand -hex 32; keep it where secrets are kept, set GAUNTLET_PII_KEY to it, and start Gauntlet again';

/**
 * @param key  GAUNTLET_PII_KEY: an even number of hexadecimal digits is bytes, all else is text; without one there is no hasher
 * @throws {UserError} if it is too short to keep anybody from trying all keys
 */
export function piiHasher(key: string | undefined): PiiHasher | undefined {
  const text = key?.trim() ?? '';
  if (text === '') return undefined;
  const isHex = /^([0-9a-f]{2})+$/i.test(text);
  const bytes = Buffer.from(text, isHex ? 'hex' : 'utf8');
  if (bytes.length < LEAST_BYTES)
    throw explained('BadPiiKey', {
      what: 'GAUNTLET_PII_KEY is too short to protect anything.',
      found: `${bytes.length} bytes${isHex ? ` (${text.length} hexadecimal digits)` : ''}`,
      expected: KEY,
      next: MAKE_ONE,
    });
  const hmac = (value: string) => createHmac('sha256', bytes).update(value).digest('hex');
  return {
    hash: (value) => PII_HASH.prefix + hmac(value).slice(0, PII_HASH.hexDigits),
    fingerprint: hmac('fingerprint of this key, for Gauntlet').slice(0, 16),
    pads() {
      const block = Buffer.alloc(BLOCK_BYTES);
      (bytes.length > BLOCK_BYTES ? createHash('sha256').update(bytes).digest() : bytes).copy(block);
      return { inner: block.map((byte) => byte ^ 0x36), outer: block.map((byte) => byte ^ 0x5c) };
    },
  };
}

/**
 * Holds what a model needs against the key that there is: at apply and training its description, at loading a version.
 *
 * @returns the hasher, if there is one: what its requests are decoded with
 * @throws {UserError} if the model has personal values and there is no key, or it is not the version's
 */
export function requirePii(model: ModelSpec | ModelVersion, hasher: PiiHasher | undefined): PiiHasher | undefined {
  const { name, personal, piiKey } = 'rows' in model ? ofSpec(model) : ofVersion(model);
  if (personal.length === 0) return hasher;
  if (!hasher) throw noKey(`${name} keeps ${personal.join(', ')} only as keyed hashes, and there is no key.`);
  if (piiKey === undefined || piiKey === hasher.fingerprint) return hasher;
  throw wrongKey(`The personal values of ${name} (${personal.join(', ')}) were hashed under another key.`, {
    found: hasher.fingerprint,
    expected: piiKey,
  });
}

export function wrongKey(what: string, fingerprints: { found: string; expected: string }): UserError {
  return explained('WrongPiiKey', {
    what,
    found: `GAUNTLET_PII_KEY with the fingerprint ${fingerprints.found}`,
    expected: `the key with the fingerprint ${fingerprints.expected}`,
    next: 'set GAUNTLET_PII_KEY to that key, and start Gauntlet again. Where it is lost, train the model again under a new one: what was hashed before matches nothing then',
  });
}

/** A decoder met a personal value, and whoever called it gave no hasher. */
export function noKey(what: string): UserError {
  return explained('NoPiiKey', { what, found: 'GAUNTLET_PII_KEY is not set', expected: KEY, next: MAKE_ONE });
}

interface Needs {
  name: string;
  /** What is personal, in the words of model.yaml. */
  personal: string[];
  piiKey?: string;
}

const ofSpec = (spec: ModelSpec): Needs => ({ name: spec.name, personal: [...hashedNames(spec)] });

function ofVersion({ model, n, inputs, entity, serving }: ModelVersion): Needs {
  const { unit, unitPii = false, entityPii = false, piiKey } = serving ?? {};
  const personal = hashedNames({ inputs, rows: { entity, entityPii }, rollout: { unit, unitPii } });
  return { name: `${model} version ${n}`, personal: [...personal], ...(piiKey !== undefined && { piiKey }) };
}

function explained(
  type: string,
  { what, found, expected, next }: { what: string; found: string; expected: string; next: string },
): UserError {
  return new UserError(type, `${what}\n  found:    ${found}\n  expected: ${expected}\n  next:     ${next}`);
}
