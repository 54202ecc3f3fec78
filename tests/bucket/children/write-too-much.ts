/** Creates a key of 2 MB where there is no room for it, and says what came of it. */
import { UserError } from '../../../schemas/problem.ts';
import { DirectoryBucket } from '../../../bucket/directory.ts';

const [folder, file] = process.argv.slice(2);
const bucket = await DirectoryBucket.open(folder!);
const report: { before: boolean; error?: string; type?: string; after?: boolean } = {
  before: await bucket.create('small', new TextEncoder().encode('it fits')),
};
try {
  await bucket.create('large/key', file ? { file } : Buffer.alloc(2_000_000, 1));
} catch (error) {
  report.error = (error as Error).message;
  report.type = error instanceof UserError ? error.type : 'not a UserError';
}
report.after = await bucket.create('small-2', new TextEncoder().encode('it still fits'));
const keys: string[] = [];
for await (const { key } of bucket.list('')) keys.push(key);
process.stdout.write(JSON.stringify({ ...report, keys }));
