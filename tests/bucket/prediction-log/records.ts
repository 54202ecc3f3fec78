/** Records as small as their schemas allow. */
import type { LogRecord, NewAnswer, NewLogRecord, NewShadowScore } from '../../../schemas/index.ts';
import { sha } from '../examples.ts';

export const answer = (id: number | string, detail = 'x'): NewAnswer => ({
  kind: 'answer',
  v: 1,
  requestId: `r-${id}`,
  row: 0,
  model: 'churn',
  project: { n: 1, hash: sha('1') },
  revision: 1,
  unit: `u-${id}`,
  eventMs: 1,
  eventBy: 'server',
  eventResolution: 'instant',
  answeredMs: 1,
  maturesMs: null,
  inputs: { visits: 3, note: detail },
  assigned: 'champion',
  assignedVersion: 1,
  version: 1,
  reason: 'champion',
  propensity: 1,
  output: { scores: [0.25], prediction: false },
  latencyMs: 1,
  graphMs: 1,
  cacheHit: false,
});

export const shadow = (id: number | string): NewShadowScore => ({
  kind: 'shadow',
  v: 1,
  requestId: `r-${id}`,
  row: 0,
  model: 'churn',
  version: 2,
  revision: 1,
  unit: `u-${id}`,
  eventMs: 1,
  scoredMs: 1,
  maturesMs: null,
  graphMs: 1,
  latencyMs: 1,
});

export const label = (id: number | string): NewLogRecord => ({
  kind: 'label',
  v: 1,
  labelId: `l-${id}`,
  model: 'churn',
  requestId: `r-${id}`,
  value: true,
  knownMs: 1,
  receivedMs: 1,
  by: 'feedback',
});

export const idOf = (record: LogRecord): string => (record.kind === 'label' ? record.labelId : record.requestId);

export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
