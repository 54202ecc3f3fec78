import { createHash, timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { isSecretOf, keyIdOf, type Keys, type KnownKey } from '../bucket/index.ts';
import type { Scope } from '../schemas/index.ts';
import { ProblemError } from './problem.ts';
import { received, type WithHeaders } from './received.ts';

/** Who acts, as a key that was checked says. */
export interface Actor {
  name: string;
  keyId: string;
  scopes: readonly Scope[];
}

/** A revoked key is refused, and a new bucket of keys closed, within this and the time of one listing. */
const FRESH_MS = 5_000;
/** Whoever shows unknown keys one after the other makes us list no more often than this. */
const AGAIN_MS = 1_000;

/**
 * The API keys of the bucket, listed at most every few seconds and only when somebody wants to change something. Where the
 * bucket cannot be listed, nobody is let in: a revocation may be in it.
 */
export class KeyRing {
  readonly #keys: Keys;
  readonly #now: () => number;
  readonly #own: { secret: string; name: string } | undefined;
  #known: { keys: readonly KnownKey[]; atMs: number } | undefined;
  #listing: Promise<readonly KnownKey[]> | undefined;

  /** @param o.own  a secret that this process made for itself, and that is nowhere else: it may do everything */
  constructor(keys: Keys, o: { now?: () => number; own?: { secret: string; name: string } | undefined } = {}) {
    this.#keys = keys;
    this.#now = o.now ?? Date.now;
    this.#own = o.own;
  }

  /**
   * Who shows this secret. Undefined where the bucket has no key: then everybody may do everything, and who they are is
   * their claim. Keys that all have expired or were revoked are keys: what was closed does not open by itself.
   *
   * @throws {ProblemError} 401 where a key is needed and none, an unknown, an expired or a revoked one came; 403 where it
   *   lacks the scope
   * @param because  why it needs that scope, where the route alone does not say so
   */
  async check(secret: string | undefined, scope: Scope, because?: string): Promise<Actor | undefined> {
    if (secret !== undefined && this.#own && same(secret, this.#own.secret))
      return { name: this.#own.name, keyId: 'own', scopes: ['operate', 'approve'] };
    // The first key closes the API within a second.
    const freshMs = this.#known?.keys.length === 0 ? AGAIN_MS : FRESH_MS;
    if ((await this.#list(freshMs)).length === 0) return undefined;
    if (secret === undefined) throw keyNeeded('no key came with the request', scope);
    const actor = await this.#actorOf(secret, scope);
    if (actor.scopes.includes(scope)) return actor;
    throw new ProblemError({
      status: 403,
      type: 'scope-missing',
      title: 'The key may not do this',
      detail: `This needs a key of scope ${scope}${because === undefined ? '' : ` too, since ${because}`}, and the key ${actor.keyId} of ${actor.name} has ${actor.scopes.join(', ')}.`,
      next: `Whoever has the bucket makes one: gauntlet keys create --name "${actor.name}" --scope ${scope}`,
    });
  }

  async #actorOf(secret: string, scope: Scope): Promise<Actor> {
    const id = keyIdOf(secret);
    if (id === undefined)
      throw keyNeeded(
        'what came is no key of Gauntlet’s, which begins with gk_ and has 64 hexadecimal digits at its end',
        scope,
      );
    const named = (keys: readonly KnownKey[]) => keys.find(({ key }) => key.id === id);
    // A key that was made a moment ago works within a second.
    const found = named(await this.#list(FRESH_MS)) ?? named(await this.#list(AGAIN_MS));
    if (!found || !isSecretOf(found.key, secret)) throw keyNeeded('the key that came is not known here', scope);
    const { key, revoked } = found;
    if (revoked) throw keyNeeded(`the key ${id} of ${key.name} was revoked at ${revoked.at} by ${revoked.by}`, scope);
    if (Date.parse(key.expiresAt) <= this.#now())
      throw keyNeeded(`the key ${id} of ${key.name} expired at ${key.expiresAt}`, scope);
    return { name: key.name, keyId: id, scopes: key.scopes };
  }

  /** Of not longer ago than so. Requests that come together share one listing. */
  async #list(freshMs: number): Promise<readonly KnownKey[]> {
    const known = this.#known;
    if (known && this.#now() - known.atMs < freshMs) return known.keys;
    return (this.#listing ??= this.#read().finally(() => (this.#listing = undefined)));
  }

  async #read(): Promise<readonly KnownKey[]> {
    const atMs = this.#now();
    const keys = await this.#keys.list();
    this.#known = { keys, atMs };
    return keys;
  }
}

const same = (a: string, b: string): boolean => timingSafeEqual(hashOf(a), hashOf(b));
const hashOf = (text: string): Buffer => createHash('sha256').update(text).digest();

const keyNeeded = (because: string, scope: Scope): ProblemError =>
  new ProblemError({
    status: 401,
    type: 'key-needed',
    title: 'An API key is needed',
    detail: `This needs an API key of scope ${scope}, because the bucket has keys; ${because}.`,
    next: 'Send it as "Authorization: Bearer gk_..." or "x-api-key: gk_..."; the gauntlet command takes it from GAUNTLET_API_KEY. Whoever has the bucket makes one: gauntlet keys create',
    headers: { 'www-authenticate': 'Bearer realm="gauntlet"' },
  });

/** The secret that a request shows, whatever it is. */
export function secretOf(request: WithHeaders): string | undefined {
  // Another scheme, or another's token, is for whoever stands before us.
  const bearer = /^bearer +(\S+) *$/i.exec(request.header('authorization') ?? '')?.[1];
  const key = request.header('x-api-key')?.trim();
  return bearer?.startsWith('gk_') ? bearer : (key ?? bearer);
}

const READS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Lets nobody change anything without a key, where the bucket has keys. Reading is open.
 *
 * @param scopeOf  what a request needs; undefined where it changes nothing
 */
export const keysRequired =
  (ring: KeyRing, scopeOf: (path: string) => Scope | undefined): MiddlewareHandler =>
  async (c, next) => {
    const scope = READS.has(c.req.method) ? undefined : scopeOf(c.req.path);
    if (scope !== undefined) c.set('actor', await ring.check(secretOf(received(c)), scope));
    return next();
  };

/** Who was checked for this request; undefined where the bucket has no keys. */
export const actorOf = (c: Context): Actor | undefined => c.get('actor') as Actor | undefined;

/** Who acts: the key's name where one was checked, else what the body claims. */
export const byOf = (c: Context, claimed: string | undefined): string => actorOf(c)?.name ?? claimed ?? 'api';
