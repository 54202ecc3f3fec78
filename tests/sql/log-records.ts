/** Records of the prediction log, as small as their schemas allow, and the files that they are in. */
import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import type { Answer, Label, LogRecord, ShadowScore } from '../../schemas/index.ts';

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
/** Half past nine on a Tuesday. */
export const T0 = Date.parse('2026-11-24T09:30:00.000Z');

const sha = 'a'.repeat(64);
let seq = 0;

export const answer = (requestId: string, o: Partial<Answer> = {}): Answer => ({
  kind: 'answer',
  v: 1,
  requestId,
  row: 0,
  model: 'churn',
  project: { n: 1, hash: sha },
  revision: 1,
  unit: requestId,
  eventMs: T0,
  eventBy: 'server',
  eventResolution: 'instant',
  answeredMs: o.eventMs ?? T0,
  maturesMs: T0 + 30 * DAY_MS,
  inputs: { visits: 3 },
  assigned: 'champion',
  assignedVersion: 1,
  version: 1,
  reason: 'champion',
  propensity: 1,
  output: { scores: [0.25], prediction: false },
  latencyMs: 1.5,
  graphMs: 0.5,
  cacheHit: false,
  boot: 'b1',
  seq: seq++,
  ...o,
});

export const shadow = (requestId: string, o: Partial<ShadowScore> = {}): ShadowScore => ({
  kind: 'shadow',
  v: 1,
  requestId,
  row: 0,
  model: 'churn',
  version: 2,
  revision: 1,
  unit: requestId,
  eventMs: T0,
  scoredMs: T0,
  maturesMs: T0 + 30 * DAY_MS,
  output: { scores: [0.5], prediction: true },
  graphMs: 0.5,
  latencyMs: 2,
  boot: 'b1',
  seq: seq++,
  ...o,
});

export const label = (labelId: string, o: Partial<Label> = {}): Label => ({
  kind: 'label',
  v: 1,
  labelId,
  model: 'churn',
  value: true,
  knownMs: T0 + DAY_MS,
  receivedMs: o.knownMs ?? T0 + DAY_MS,
  by: 'feedback',
  boot: 'b1',
  seq: seq++,
  ...o,
});

export const segmentBytes = (lines: readonly (LogRecord | string)[]): Uint8Array =>
  gzipSync(lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join(''));

export function writeSegment(path: string, lines: readonly (LogRecord | string)[]): string {
  writeFileSync(path, segmentBytes(lines));
  return path;
}

/** Where a segment of this upload lies. */
export const segmentKey = (uploadedMs: number, boot = 'b1', n = 0): string => {
  const at = new Date(uploadedMs).toISOString();
  return `log/raw/${at.slice(0, 10)}/${at.slice(11, 13)}/${String(uploadedMs).padStart(13, '0')}-${boot}-${n}.ndjson.gz`;
};
