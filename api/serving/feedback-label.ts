import { decodeValue, isLonger, parseTimestamp, shown } from '../../onnx/index.ts';
import {
  didYouMean,
  Input,
  Label,
  RequestId,
  type Issue,
  type LabelValue,
  type ModelVersion,
  type Resolution,
} from '../../schemas/index.ts';
import { uuidv7 } from '../request-id.ts';

/** A label as it is appended to the log. */
export type NewLabel = Omit<Label, 'boot' | 'seq'>;

/** What a label is held against. */
export interface FeedbackTerms {
  version: ModelVersion;
  /** What a value may be: valueInput(version). */
  value: Input;
  nowMs: number;
  /** Keyed hash of the entity, where it is personal. */
  hash?: (value: string) => string;
}

const FIELDS = [
  'requestId',
  'row',
  'entity',
  'happenedAt',
  'value',
  'labelId',
  'knownAt',
  'supersedes',
  'withdrawn',
] as const;
type Field = (typeof FIELDS)[number];

/** Clocks differ, and what has just become known is stamped by another machine. */
const AHEAD_MS = 5 * 60_000;
const DAY_MS = 86_400_000;
const MAX_ENTITY_LENGTH = 200;
const TIME = 'a date such as 2017-03-01, or a time such as 2017-03-01T12:00:00Z';

/**
 * One label as a person or a program sent it, checked against the model that it is about.
 *
 * @returns the label, or every field that is wrong; `at` is the field
 */
export function readLabel(given: unknown, terms: FeedbackTerms): { label: NewLabel } | { issues: Issue[] } {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    return { issues: [{ at: 'label', found: shown(given), expected: 'a JSON object of fields' }] };
  const reader = new Reader(given as Record<string, unknown>, terms);
  const label = reader.label();
  return reader.issues.length > 0 ? { issues: reader.issues } : { label };
}

/** What a label of this model may be, as one of its inputs would say it. */
export function valueInput({ task, classes = [] }: Pick<ModelVersion, 'task' | 'classes'>): Input {
  if (task === 'binary') return Input.parse({ type: 'boolean' });
  if (task === 'regression') return Input.parse({ type: 'number' });
  return Input.parse({ type: 'string', values: classes, maxLength: Math.max(200, ...classes.map((c) => c.length)) });
}

/** The model's own name of its entity may stand for `entity`, unless it is a field of ours. */
export const entityFields = (entity: string): string[] =>
  (FIELDS as readonly string[]).includes(entity) ? ['entity'] : ['entity', entity];

class Reader {
  readonly issues: Issue[] = [];
  private readonly given: Record<string, unknown>;
  private readonly terms: FeedbackTerms;
  private readonly names: string[];

  constructor(given: Record<string, unknown>, terms: FeedbackTerms) {
    this.given = given;
    this.terms = terms;
    this.names = entityFields(terms.version.entity).filter((name) => Object.hasOwn(given, name));
  }

  label(): NewLabel {
    const { version, nowMs } = this.terms;
    this.refuseUnknown();
    const withdrawn = this.withdrawn();
    const about = this.about(withdrawn);
    const labelId = this.id('labelId') ?? uuidv7(nowMs);
    const supersedes = this.id('supersedes');
    if (supersedes !== undefined && supersedes === labelId)
      this.issue('supersedes', 'the labelId of this same label', 'the labelId of the label that it corrects');
    if (withdrawn && !this.has('supersedes'))
      this.issue('supersedes', 'nothing', 'the labelId of the label that is withdrawn');
    const known = this.time('knownAt');
    return {
      kind: 'label',
      v: 1,
      labelId,
      model: version.model,
      ...about,
      value: this.value(withdrawn),
      // What is known on a day is known when the day is over.
      knownMs: known === undefined ? nowMs : known.ms + (known.resolution === 'day' ? DAY_MS : 0),
      receivedMs: nowMs,
      ...(supersedes !== undefined && { supersedes }),
      by: 'feedback',
    };
  }

  private has(field: Field): boolean {
    return Object.hasOwn(this.given, field);
  }

  private issue(at: string, found: string, expected: string): void {
    this.issues.push({ at, found, expected });
  }

  private wrong(field: string, expected: string): void {
    const isPersonal = this.terms.hash !== undefined && this.names.includes(field);
    this.issue(field, shown(this.given[field], isPersonal), expected);
  }

  private refuseUnknown(): void {
    const allowed = [...FIELDS, ...entityFields(this.terms.version.entity)];
    for (const field of Object.keys(this.given)) {
      if (allowed.includes(field)) continue;
      const called = field.length > 64 ? `${field.slice(0, 64)}…` : field;
      this.issue(
        called,
        'a field that is not known',
        didYouMean(called, allowed).trim() || `one of ${[...new Set(allowed)].join(', ')}`,
      );
    }
  }

  /** Which predictions it is about: one request, or an entity at a time. A withdrawal says it by what it supersedes. */
  private about(withdrawn: boolean): Partial<NewLabel> {
    const { entity: name } = this.terms.version;
    const happened = this.time('happenedAt');
    const when = happened && { happenedMs: happened.ms, happenedResolution: happened.resolution };
    if (this.has('requestId')) {
      for (const field of this.names)
        this.wrong(field, 'requestId alone, which says all, or the entity and happenedAt alone');
      const requestId = this.match('requestId', RequestId, 'a request id: the x-request-id of the answer');
      return { requestId, ...this.row(), ...when };
    }
    if (this.has('row')) this.wrong('row', 'a row only beside the requestId that it belongs to');
    if (this.names.length === 0 && withdrawn) return { ...when };
    if (this.names.length === 0) {
      const [, own] = entityFields(name);
      this.issue('requestId', 'nothing', `requestId, or ${own ?? 'entity'} and happenedAt: what the label is about`);
      return {};
    }
    if (this.names.length > 1) this.wrong(name, `one of entity and ${name}, which are the same`);
    if (!this.has('happenedAt')) this.issue('happenedAt', 'nothing', `when the outcome happened: ${TIME}`);
    const entity = this.entity(this.names.at(-1)!);
    return { ...(entity !== undefined && { entity }), ...when };
  }

  private row(): { row?: number } {
    if (!this.has('row')) return {};
    const row = this.given['row'];
    if (typeof row === 'number' && Number.isSafeInteger(row) && row >= 0) return { row };
    this.wrong('row', 'the place of the row in its request, from 0');
    return {};
  }

  private entity(field: string): string | undefined {
    const value = this.given[field];
    const isNumber =
      typeof value === 'number' && (Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value));
    const text = isNumber ? String(value) : value;
    if (typeof text !== 'string') this.wrong(field, 'text, or a number below 2^53 (send longer ones as text)');
    else if (text.length === 0 || isLonger(text, MAX_ENTITY_LENGTH))
      this.issue(field, `${text.length} characters`, `1 to ${MAX_ENTITY_LENGTH} characters`);
    // Half a surrogate pair and control characters: not every reader of the log takes them.
    else if (/[\p{Cs}\p{Cc}]/u.test(text)) this.wrong(field, 'text without control characters');
    else return this.terms.hash ? this.terms.hash(text) : text;
    return undefined;
  }

  private value(withdrawn: boolean): LabelValue | null {
    const value = this.given['value'];
    if (withdrawn) {
      if (this.has('value')) this.wrong('value', 'no value, since the label is withdrawn');
      return null;
    }
    const checked = decodeValue(this.terms.value, this.has('value') ? value : undefined);
    if ('value' in checked) return value as LabelValue;
    this.issue('value', checked.found, checked.expected);
    return null;
  }

  private withdrawn(): boolean {
    if (!this.has('withdrawn')) return false;
    if (this.given['withdrawn'] === true) return true;
    this.wrong('withdrawn', 'true, or no such field');
    return false;
  }

  private id(field: 'labelId' | 'supersedes'): string | undefined {
    if (!this.has(field)) return undefined;
    const expected = '1 to 128 letters, digits, dots, colons, underscores and hyphens';
    return this.match(field, Label.shape.labelId, expected);
  }

  private match(field: Field, schema: typeof RequestId, expected: string): string | undefined {
    const parsed = schema.safeParse(this.given[field]);
    if (parsed.success) return parsed.data;
    this.wrong(field, expected);
    return undefined;
  }

  /** A date is its midnight. A day that has begun is not in the future. */
  private time(field: 'happenedAt' | 'knownAt'): { ms: number; resolution: Resolution } | undefined {
    if (!this.has(field)) return undefined;
    const { version, nowMs } = this.terms;
    const text = this.given[field];
    const seconds = typeof text === 'string' ? parseTimestamp(text) : undefined;
    if (seconds === undefined) {
      this.wrong(field, TIME);
      return undefined;
    }
    const ms = Math.round(seconds * 1000);
    if (ms > nowMs + AHEAD_MS && !version.serving?.allowEventTime) {
      this.wrong(field, `a time that has come: here it is ${new Date(nowMs).toISOString()}`);
      return undefined;
    }
    return { ms, resolution: /^\d{4}-\d{2}-\d{2}$/.test(text as string) ? 'day' : 'instant' };
  }
}
