import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Stores } from '../../bucket/index.ts';
import { checkGraphSpec } from '../../onnx/index.ts';
import { graphSpec, UserError, type Applied, type ModelSpec, type Project } from '../../schemas/index.ts';
import { projectChanges } from './changes.ts';

export interface ProjectFolder {
  spec: ModelSpec;
  /** By path inside the folder: model.yaml and every file that it names. */
  files: ReadonlyMap<string, Uint8Array | { file: string }>;
}

/**
 * Stores a model project as one object with a hash, and says what differs from the newest applied one.
 *
 * The hash covers paths and contents, nothing else, so applying the same folder again does nothing.
 * Safe to repeat: files go in by content, and the record that names them is written last.
 *
 * @throws {UserError} when an expression of the project does not parse or type
 */
export async function applyProject(
  stores: Pick<Stores, 'objects' | 'projects'>,
  folder: ProjectFolder,
  o: { by: string; dryRun: boolean; now: Date },
): Promise<Applied> {
  const { spec } = folder;
  const issues = checkGraphSpec(graphSpec(spec));
  if (issues.length > 0)
    throw new UserError(
      'ProjectInvalid',
      `model.yaml of ${spec.name}: ${issues.length === 1 ? 'an expression is' : `${issues.length} expressions are`} wrong. Correct ${issues.length === 1 ? 'it' : 'them'} and apply again.`,
      issues,
    );

  const files: Project['files'] = {};
  for (const path of [...folder.files.keys()].sort()) files[path] = await identify(folder.files.get(path)!);
  const hash = projectHash(files);
  const newest = await stores.projects.newest(spec.name);
  const next = { model: spec.name, hash, files, spec, appliedAt: o.now.toISOString(), by: o.by };
  if (newest?.hash === hash)
    return { model: spec.name, n: newest.n, hash, changed: false, changes: [], dryRun: o.dryRun };

  const changes = projectChanges(newest, next);
  if (o.dryRun) return { model: spec.name, n: (newest?.n ?? 0) + 1, hash, changed: true, changes, dryRun: true };
  // The largest first: where it has no room, nothing has been stored.
  const largestFirst = [...folder.files].sort(([a], [b]) => files[b]!.bytes - files[a]!.bytes);
  for (const [path, body] of largestFirst) {
    const { sha256 } = await stores.objects.put(body);
    if (sha256 !== files[path]!.sha256)
      throw new UserError('ChangedWhileApplied', `${path} changed while it was being applied. Apply the folder again.`);
  }
  const { n } = await stores.projects.create(next);
  return { model: spec.name, n, hash, changed: true, changes, dryRun: false };
}

/** sha256 over "path NUL sha256 NL", paths in byte order. */
export function projectHash(files: Project['files']): string {
  const hash = createHash('sha256');
  const paths = Object.keys(files).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const path of paths) hash.update(`${path}\0${files[path]!.sha256}\n`);
  return hash.digest('hex');
}

async function identify(body: Uint8Array | { file: string }): Promise<{ sha256: string; bytes: number }> {
  if (body instanceof Uint8Array)
    return { sha256: createHash('sha256').update(body).digest('hex'), bytes: body.byteLength };
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(body.file)) hash.update(chunk as Buffer);
  return { sha256: hash.digest('hex'), bytes: (await stat(body.file)).size };
}
