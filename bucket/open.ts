import { fileURLToPath } from 'node:url';
import { UserError } from '../schemas/index.ts';
import type { Bucket } from './bucket.ts';
import { DirectoryBucket } from './directory.ts';

/**
 * Opens the bucket that a URL names: `file:<folder>` (relative to the working folder, or absolute) or
 * `s3://<bucket>/<prefix>`, at GAUNTLET_S3_ENDPOINT where that is set.
 *
 * @throws {UserError} if the URL is neither, or the bucket cannot be opened
 */
export async function openBucket(url: string): Promise<Bucket> {
  if (url.startsWith('file:')) {
    const folder = url.startsWith('file://') ? pathOf(url) : url.slice('file:'.length);
    if (folder) return DirectoryBucket.open(folder);
  }
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([A-Za-z0-9_=-][A-Za-z0-9._=/-]{0,199}?))?\/?$/.exec(
    url,
  );
  if (match && !match[2]?.includes('//')) {
    // Loaded here because the SDK takes longer to load than a command on a folder takes to run.
    const { S3Bucket } = await import('./s3.ts');
    return S3Bucket.open({
      bucket: match[1]!,
      prefix: match[2],
      endpoint: process.env.GAUNTLET_S3_ENDPOINT || undefined,
    });
  }
  throw notABucket(url);
}

function pathOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch {
    throw notABucket(url);
  }
}

const notABucket = (url: string): UserError =>
  new UserError(
    'BadBucket',
    `GAUNTLET_BUCKET is ${JSON.stringify(url)}, which names no bucket. Expected file:<folder>, such as file:.gauntlet/bucket, or s3://<bucket>/<prefix>, such as s3://acme-models/prod.`,
  );
