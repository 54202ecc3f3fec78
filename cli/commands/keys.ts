import { InvalidArgumentError, type Command } from 'commander';
import type { KnownKey } from '../../bucket/keys.ts';
import type { Scope } from '../../schemas/rollout.ts';
import { command } from '../command.ts';
import { bucketUrl, gauntletHome, whoami } from '../environment.ts';
import { paint, say, sayJson, sayTable, tell, when } from '../output.ts';

const SCOPES: Scope[] = ['operate', 'approve'];

/** On the bucket itself: whoever has it is the owner, and no API key could make the first one. */
export function keysCommand(): Command {
  const keys = command(
    'keys',
    'API keys: who may change what over the API. They work on the bucket itself (GAUNTLET_BUCKET); each takes --json. As soon as a bucket has a key, whoever wants to change anything over its API needs one.',
    'gauntlet keys create --name ana --scope approve --scope operate --expires "90 days"\ngauntlet keys list\ngauntlet keys revoke 3f9c1a2b4d5e --reason "ana left"',
    { api: false },
  );
  const sub = (name: string, description: string, example: string) => {
    const made = command(name, description, `gauntlet keys ${example}`, { api: false });
    made.option('--json', 'answer as one JSON value on stdout');
    keys.addCommand(made);
    return made;
  };

  sub(
    'create',
    'Make a key, and show its secret this once.',
    'create --name ana --scope approve --scope operate --expires "90 days"',
  )
    .requiredOption('--name <who>', 'whose it is: what is done with it is by them')
    .requiredOption(
      '--scope <scope>',
      'operate (roll out, roll back, train, apply) or approve (votes); may be repeated',
      scope,
    )
    .option('--expires <when>', 'a while from now, or a time', '90 days')
    .action(async (o: { name: string; scope: Scope[]; expires: string; json?: boolean }) => {
      const [name, expiresAt] = await Promise.all([nameOf(o.name), expiryOf(o.expires)]);
      // Before the API is opened to anybody there may be no bucket yet.
      const stores = await ownStores({
        make: true,
        made: (bucket) => tell(`There was no bucket at ${bucket} yet, so it was made.`),
      });
      const { key, secret } = await stores.keys.create({
        name,
        scopes: o.scope,
        expiresAt,
        createdBy: whoami(),
        now: new Date().toISOString(),
      });
      if (o.json) return sayJson({ ...shownOf(key), secret });
      tell(
        `Key ${key.id} of ${key.name} (${key.scopes.join(', ')}) until ${when(key.expiresAt)}. This is its secret, shown this once;`,
      );
      tell('the gauntlet command takes it from GAUNTLET_API_KEY, HTTP as "Authorization: Bearer ...":');
      say(secret);
    });

  sub('list', 'List the keys: whose, what for, until when. Secrets are nowhere.', 'list').action(
    async (o: { json?: boolean }) => {
      const known = await (await ownStores()).keys.list();
      if (o.json) return sayJson(known.map(({ key, revoked }) => ({ ...shownOf(key), revoked })));
      if (known.length === 0)
        return say('No key: whoever reaches the API may do everything. Make one with: gauntlet keys create');
      sayTable(
        ['KEY', 'NAME', 'SCOPES', 'STATE', 'EXPIRES', 'CREATED', 'BY'],
        known.map(({ key, revoked }) => [
          key.id,
          key.name,
          key.scopes.join(', '),
          stateOf({ key, ...(revoked && { revoked }) }),
          when(key.expiresAt),
          when(key.createdAt),
          key.createdBy,
        ]),
      );
    },
  );

  sub('revoke', 'End a key for good; within ten seconds no API takes it.', 'revoke 3f9c1a2b4d5e --reason "ana left"')
    .argument('<key>', 'id of the key, as gauntlet keys list shows it')
    .option('--reason <text>', 'why, for the record')
    .action(async (id: string, o: { reason?: string; json?: boolean }) => {
      const stores = await ownStores();
      const { key, revoked } = await stores.keys.revoke(id, {
        by: whoami(),
        now: new Date().toISOString(),
        reason: o.reason,
      });
      if (o.json) return sayJson({ id: key.id, name: key.name, revoked });
      say(`${paint('green', 'revoked')} ${key.id} of ${key.name}, at ${when(revoked!.at)} by ${revoked!.by}`);
    });
  return keys;
}

/** A hash of 256 random bits gives nothing away, and is nobody's business. */
const shownOf = (key: KnownKey['key']): object => ({ ...key, sha256: undefined });

async function ownStores(o: { make?: boolean; made?: (bucket: string) => void } = {}) {
  const { openOwnStores } = await import('../own-stores.ts');
  return openOwnStores({ bucket: bucketUrl(), home: gauntletHome() }, o);
}

const LONGEST_NAME = 200;

async function nameOf(text: string): Promise<string> {
  const name = text.trim();
  if (name !== '' && name.length <= LONGEST_NAME) return name;
  const { UserError } = await import('../../schemas/problem.ts');
  throw new UserError(
    'BadName',
    `--name is ${name === '' ? 'empty' : `${name.length} characters long`}; expected whose key it is, in 1 to ${LONGEST_NAME} characters, such as ana: what is done with it is by that name.`,
  );
}

async function expiryOf(text: string): Promise<string> {
  const [{ Duration, durationMs, Instant, instantMs }, { UserError }] = await Promise.all([
    import('../../schemas/time.ts'),
    import('../../schemas/problem.ts'),
  ]);
  const ms = Duration.safeParse(text).success
    ? Date.now() + durationMs(text)
    : Instant.safeParse(text).success
      ? instantMs(text)
      : NaN;
  if (ms > Date.now() && ms < 8.64e15) return new Date(ms).toISOString();
  throw new UserError(
    'BadExpiry',
    `--expires is ${JSON.stringify(text)}; expected a while such as "90 days", or a time that is yet to come, such as 2030-01-01.`,
  );
}

function stateOf({ key, revoked }: KnownKey): string {
  if (revoked) return paint('red', `revoked ${when(revoked.at)}`);
  return Date.parse(key.expiresAt) > Date.now() ? paint('green', 'valid') : paint('yellow', 'expired');
}

function scope(text: string, before: Scope[] = []): Scope[] {
  const found = SCOPES.find((one) => one === text);
  if (!found) throw new InvalidArgumentError(`A scope is ${SCOPES.join(' or ')}.`);
  return [...new Set([...before, found])];
}
