import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readApiAddress } from '../api/address.ts';

/** Where local state is: GAUNTLET_HOME. */
export const gauntletHome = (): string => resolve(process.env['GAUNTLET_HOME'] || '.gauntlet');

/** The bucket: GAUNTLET_BUCKET, else a directory of the home. */
export const bucketUrl = (home = gauntletHome()): string =>
  process.env['GAUNTLET_BUCKET'] || `file:${join(home, 'bucket')}`;

/** The folder of a directory bucket; undefined for a bucket elsewhere. */
export function bucketFolder(url: string): string | undefined {
  if (url.startsWith('file://')) return fileURLToPath(url);
  return url.startsWith('file:') ? url.slice('file:'.length) : undefined;
}

/** Folder of model projects that a bare apply applies: GAUNTLET_MODELS. */
export const modelsFolder = (): string => resolve(process.env['GAUNTLET_MODELS'] || 'examples');

/** The API: what was said, else GAUNTLET_API, else PORT, else the one that runs from this home, else port 3000. */
export function apiUrl(given?: string): string {
  const named = given ?? process.env['GAUNTLET_API'];
  if (named) return /^https?:\/\//.test(named) ? named : `http://${named}`;
  return ownApiUrl();
}

function ownApiUrl(): string {
  const port = process.env['PORT'];
  if (port) return `http://127.0.0.1:${port}`;
  return readApiAddress(gauntletHome()) ?? 'http://127.0.0.1:3000';
}

/** Whether `bucketUrl` is the bucket of the API at this address, as far as this machine can tell: said, or its own. */
export function isBucketOf(api: string): boolean {
  if (process.env['GAUNTLET_BUCKET']) return true;
  const hostOf = (url: string) => new URL(url).host.replace('localhost', '127.0.0.1');
  return URL.canParse(api) && hostOf(api) === hostOf(ownApiUrl());
}

/** Who acts, for the records: a claim, as with every command line. */
export function whoami(): string {
  try {
    return userInfo().username;
  } catch {
    return 'cli';
  }
}

/** What a file holds, `-` being stdin. */
export const readText = (path: string): string => readFileSync(path === '-' ? 0 : path, 'utf8');
