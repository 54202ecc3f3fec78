import type {
  Answer,
  Failure,
  LabelValue,
  ModelVersion,
  Revision,
  ScoredOutput,
  ShadowScore,
} from '../../../schemas/index.ts';
import type { Outcome } from '../../../sql/index.ts';
import { percent } from '../history.ts';
import type { WhyStep } from './shapes.ts';

/** What an answer, its shadows and its labels say, in words and as they are. */

const INPUTS_SHOWN = 8;

export function summary({ model, version, row, answeredMs, output }: Answer, rows: number, outcome: Outcome): string {
  const of = rows > 1 ? ` to row ${row}, one of ${rows}` : '';
  return `At ${iso(answeredMs)} version ${version} of ${model} said ${said(output)}${of}; ${came(outcome)}.`;
}

export function answerStep(
  record: Answer,
  { key, times }: { key: string | undefined; times: number },
  version: ModelVersion | undefined,
): WhyStep {
  const personal = Object.entries(version?.inputs ?? {})
    .filter(([, input]) => input.type === 'string' && input.pii)
    .map(([name]) => name);
  const { inputs, entity, eventMs, eventBy, latencyMs } = record;
  const fields = Object.entries(inputs ?? {});
  const shown = fields.slice(0, INPUTS_SHOWN).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  if (fields.length > shown.length) shown.push(`${fields.length - shown.length} more`);
  const asked = inputs ? shown.join(', ') || 'no input' : 'inputs that were shed under pressure';
  return {
    step: 'answer',
    ...(key !== undefined && { key }),
    says: `${entity === undefined ? 'Asked' : `Asked about ${entity}`}${eventBy === 'client' ? ` as of ${iso(eventMs)}` : ''} with ${asked}${personal.length > 0 ? ` (personal, so only a hash is kept: ${personal.join(', ')})` : ''}, it said ${said(record.output)} after ${Number(latencyMs.toPrecision(3))} ms.${times > 1 ? ` The id came ${times} times, and the first counts.` : ''}`,
    record,
    personal,
    times,
  };
}

export function routeStep(answer: Answer): WhyStep {
  const { assigned, assignedVersion, version, reason, propensity, unit, failed } = answer;
  return {
    step: 'route',
    says: `${routed(answer)}${failed ? ` ${failure(failed)}` : ''}`,
    assigned,
    assignedVersion,
    version,
    reason,
    propensity,
    unit,
    ...(failed && { failed }),
  };
}

function routed({ assigned, assignedVersion, version, reason, propensity, unit }: Answer): string {
  if (assigned === 'forced') return `Version ${assignedVersion} was asked for by name, outside the split.`;
  const split = `Unit ${unit} fell to the ${assigned}, version ${assignedVersion}, as ${propensity === 1 ? 'all units' : `${percent(propensity)} of the units`} do`;
  switch (reason) {
    case 'canary-failed':
      return `${split}; it failed, so version ${version} answered.`;
    case 'breaker-open':
      return `${split}; it had kept failing, so version ${version} answered.`;
    case 'canary-not-loaded':
      return `${split}; it was not loaded there, so version ${version} answered.`;
    case 'champion':
    case 'canary':
    case 'forced':
      return `${split}.`;
  }
}

/** Of a revision that is gone nobody knows which shadows were due. */
export function shadowSteps(
  { answeredMs, row }: Answer,
  revision: Revision | undefined,
  scores: readonly ShadowScore[],
): WhyStep[] {
  const scored = scores.map((record): WhyStep => {
    const { version, output, failed, latencyMs } = record;
    return {
      step: 'shadow',
      version,
      says: `Version ${version}, a shadow, ${output ? `said ${said(output)}` : 'gave nothing'} ${Number(latencyMs.toPrecision(3))} ms later.${failed ? ` ${failure(failed)}` : ''}`,
      record,
    };
  });
  const due = (revision?.serving.shadows ?? []).filter(
    ({ version, until }) => answeredMs < Date.parse(until) && !scores.some((score) => score.version === version),
  );
  return [
    ...scored,
    ...due.map(({ version }): WhyStep => {
      return {
        step: 'shadow',
        version,
        says: `Version ${version} was a shadow.`,
        gone: `It has no score of row ${row}: it was dropped under load, or is not written yet.`,
      };
    }),
  ];
}

export function labelStep(
  { maturesMs }: Answer,
  outcome: Outcome,
  { since, unreadable, guessed }: { since: string; unreadable: readonly string[]; guessed: boolean },
): WhyStep {
  const { state, label, labelId, knownMs, labels } = outcome;
  const counted = labels.find((one) => one.labelId === labelId);
  const notes = [
    ...(knownMs === undefined ? [] : [`known at ${iso(knownMs)}`]),
    ...(counted
      ? [`label ${counted.labelId} by ${counted.by}${counted.source === undefined ? '' : ` of ${counted.source}`}`]
      : []),
    ...(state === 'pending' && maturesMs !== null ? [`it matures at ${iso(maturesMs)}`] : []),
    ...(labels.length > (counted ? 1 : 0)
      ? [
          `${labels.length - (counted ? 1 : 0)} other ${labels.length === 1 + (counted ? 1 : 0) ? 'label does' : 'labels do'} not count (any more)`,
        ]
      : []),
    ...(guessed ? ['without the terms of its project, which is gone'] : []),
  ];
  return {
    step: 'labels',
    says: `${capital(came(outcome))}${notes.length > 0 ? ` (${notes.join('; ')})` : ''}.`,
    ...(unreadable.length > 0 && {
      gone: `Some hours of the log cannot be read, and labels may be in them: ${unreadable.join(' ')}`,
    }),
    state,
    label,
    ...(labelId !== undefined && { labelId }),
    ...(knownMs !== undefined && { knownAt: iso(knownMs) }),
    ...(maturesMs !== null && { maturesAt: iso(maturesMs) }),
    records: labels,
    since,
  };
}

function came({ state, label }: Outcome): string {
  switch (state) {
    case 'labelled':
      return `the outcome was ${shown(label)}`;
    case 'absent':
      return `the outcome was ${shown(label)}, for no label had come when it matured`;
    case 'overdue':
      return 'it has matured, and its outcome is still not known';
    case 'pending':
      return 'its outcome is not known yet';
  }
}

/** @example said({ scores: [0.81234], prediction: true }) // 'true (score 0.8123)' */
function said(output: ScoredOutput | undefined): string {
  if (!output) return 'nothing: no finite number came out';
  const { prediction, scores } = output;
  if (typeof prediction === 'number') return shown(prediction);
  return `${shown(prediction)} (score ${Number(Math.max(...scores).toPrecision(4))})`;
}

const failure = ({ version, why, detail }: Failure): string =>
  `Version ${version} ${{ threw: 'failed', late: 'was late', 'not-finite': 'gave no finite number', died: 'died' }[why]}${detail ? `: ${detail}` : ''}.`;

const shown = (value: LabelValue | null): string => String(value);
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
const iso = (ms: number): string => new Date(ms).toISOString();
