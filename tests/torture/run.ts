/** Ends with 1 where something was lost, done twice or contradicted. The same seed does the same at the same times. */
import { parseArgs } from 'node:util';
import { installS3Server } from '../servers/s3.ts';
import { tortureRollouts } from './rollout.ts';
import { tortureServing } from './serving.ts';
import type { TortureOptions } from './torture.ts';
import type { Found } from './invariants.ts';

const USAGE = `npm run torture -- pipeline [--seeds 5] [--seed 3]
npm run torture -- serving [--seed 1] [--minutes 3] [--rate 300] [--bucket s3|directory]
npm run torture -- rollout [--seed 1] [--minutes 3] [--rate 60] [--bucket s3|directory]`;

const say = (line: string) => void process.stdout.write(`${line}\n`);
const [what = 'pipeline', ...rest] = process.argv.slice(2);

if (what === 'serving') await torture(rest, tortureServing, '300');
else if (what === 'rollout') await torture(rest, tortureRollouts, '60');
else if (what === 'pipeline' || what.startsWith('--')) await import('../e2e/torture.ts');
else refuse(`${what} cannot be tortured.`);

function refuse(why: string): never {
  process.stderr.write(`${why}\n${USAGE}\n`);
  process.exit(2);
}

async function torture(args: string[], run: (o: TortureOptions) => Promise<Found>, usualRate: string): Promise<void> {
  const values = valuesOf(args, usualRate);
  const [seed, minutes, rate] = (['seed', 'minutes', 'rate'] as const).map((name) => {
    const value = Number(values[name]);
    return value > 0 ? value : refuse(`--${name} ${values[name]}: expected a number above 0.`);
  }) as [number, number, number];
  if (!['s3', 'directory'].includes(values.bucket)) refuse(`--bucket ${values.bucket}: expected s3 or directory.`);
  let s3: string | undefined;
  if (values.bucket === 's3') {
    const installed = await installS3Server();
    if (!installed.ok) throw new Error(`${installed.why}. Without it: --bucket directory`);
    s3 = installed.folder;
  }
  const { counts, violations } = await run({
    seed,
    seconds: 60 * minutes,
    rate,
    s3,
    say,
  });
  for (const [name, n] of Object.entries(counts)) say(`${String(n).padStart(8)}  ${name}`);
  for (const violation of violations) say(`VIOLATED  ${violation}`);
  say(`torture: seed ${seed}: ${violations.length === 0 ? 'every promise was kept' : 'promises were broken'}`);
  process.exitCode = violations.length === 0 ? 0 : 1;
}

function valuesOf(args: string[], usualRate: string) {
  const options = {
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '3' },
    rate: { type: 'string', default: usualRate },
    bucket: { type: 'string', default: 's3' },
  } as const;
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    return refuse((error as Error).message);
  }
}
