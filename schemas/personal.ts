import type { ModelSpec } from './model-spec.ts';

/**
 * Replaces personal values by their keyed hash: equal values have equal hashes, and nobody without the key comes back
 * from a hash to its value, or finds the hash of a value that is guessed.
 */
export interface PiiHasher {
  /** `pii:` and 128 bits of HMAC-SHA-256 in hexadecimal digits. */
  hash(value: string): string;
  /** Of the key: says whether two hashers agree, and gives nothing away. */
  fingerprint: string;
  /** [64] bytes each: the key as HMAC mixes it in (RFC 2104), for DuckDB, which hashes whole columns by itself. A secret. */
  pads(): { inner: Uint8Array; outer: Uint8Array };
}

export const PII_HASH = { prefix: 'pii:', hexDigits: 32, pattern: /^pii:[0-9a-f]{32}$/ } as const;

type Spec = Pick<ModelSpec, 'sources' | 'inputs' | 'rows' | 'rollout'>;

/** Names of columns and fields whose values stand in no message and no record, whichever source they come from. */
export function personalNames(spec: Spec): Set<string> {
  return new Set([...hashedNames(spec), ...Object.values(spec.sources).flatMap(({ pii }) => pii)]);
}

/** Names of fields that are known by their hash only: of inputs, the entity and the unit. */
export function hashedNames({
  inputs,
  rows,
  rollout,
}: {
  inputs: ModelSpec['inputs'];
  rows: { entity: string; entityPii: boolean };
  rollout: { unit?: string | undefined; unitPii: boolean };
}): Set<string> {
  const names = new Set(Object.keys(inputs).filter((name) => isPiiInput(inputs[name]!)));
  if (rows.entityPii) names.add(rows.entity);
  if (rollout.unitPii && rollout.unit !== undefined) names.add(rollout.unit);
  return names;
}

export function isPiiInput(input: ModelSpec['inputs'][string]): boolean {
  return input.type === 'string' && input.pii;
}

/** One name is one field: what is hashed in one place and kept as it came in another would be known after all. */
export function piiContradictions(
  spec: Spec & Pick<ModelSpec, 'evaluation'>,
): { path: (string | number)[]; message: string }[] {
  const { sources, inputs, rows, rollout, evaluation } = spec;
  const hashed = hashedNames(spec);
  const personal = personalNames(spec);
  const found: { path: (string | number)[]; message: string }[] = [];
  const mustBeSet = (path: (string | number)[], name: string, isSet: boolean) => {
    if (personal.has(name) && !isSet)
      found.push({ path, message: `true, since ${name} is personal (${saidBy(spec, name).join(', ')})` });
  };
  for (const [name, input] of Object.entries(inputs))
    if (input.type === 'string') mustBeSet(['inputs', name, 'pii'], name, input.pii);
    else if (hashed.has(name))
      found.push({
        path: ['inputs', name, 'type'],
        message: `string, since ${name} is personal (${saidBy(spec, name).join(', ')}), and only a text can be hashed`,
      });
  mustBeSet(['rows', 'entityPii'], rows.entity, rows.entityPii);
  if (rollout.unit !== undefined) mustBeSet(['rollout', 'unitPii'], rollout.unit, rollout.unitPii);
  else if (rollout.unitPii)
    found.push({ path: ['rollout', 'unitPii'], message: 'false without rollout.unit: the request id is not personal' });
  for (const [i, name] of evaluation.slices.entries())
    if (name in inputs && personal.has(name) && !hashed.has(name))
      found.push({
        path: ['evaluation', 'slices', i],
        message: `a column that is not personal: ${name} is in sources.${Object.keys(sources).find((source) => sources[source]!.pii.includes(name))}.pii`,
      });
  return found;
}

/** The fields of model.yaml that call it personal. */
function saidBy({ sources, inputs, rows, rollout }: Spec, name: string): string[] {
  const input = inputs[name];
  return [
    ...(input && isPiiInput(input) ? [`inputs.${name}.pii`] : []),
    ...(rows.entityPii && rows.entity === name ? ['rows.entityPii'] : []),
    ...(rollout.unitPii && rollout.unit === name ? ['rollout.unitPii'] : []),
    ...Object.keys(sources)
      .filter((source) => sources[source]!.pii.includes(name))
      .map((source) => `sources.${source}.pii`),
  ];
}
