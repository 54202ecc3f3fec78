/** One of many processes that create the same key at each line that they are sent; says whether it won. */
import { createInterface } from 'node:readline';
import { DirectoryBucket } from '../../../bucket/directory.ts';

const [folder, name] = process.argv.slice(2);
const bucket = await DirectoryBucket.open(folder!);
process.stdout.write('ready\n');
for await (const key of createInterface(process.stdin))
  process.stdout.write(`${await bucket.create(key, new TextEncoder().encode(name))}\n`);
