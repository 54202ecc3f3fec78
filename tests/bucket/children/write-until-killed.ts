/** Writes keys of half a megabyte, each filled with its own number, until it is killed; every third from a file. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DirectoryBucket } from '../../../bucket/directory.ts';

const [folder, scratch, round] = process.argv.slice(2);
const bucket = await DirectoryBucket.open(folder!);
process.stdout.write('ready\n');
for (let n = 0; ; n++) {
  const body = Buffer.alloc(500_000, n % 251);
  const file = join(scratch!, `body-${round}`);
  if (n % 3 === 0) await writeFile(file, body);
  await bucket.create(`round-${round}/deep/${n}`, n % 3 === 0 ? { file } : body);
}
