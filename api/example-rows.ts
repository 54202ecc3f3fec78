import type { ModelVersion, RawRow } from '../schemas/index.ts';

/**
 * Rows that a request may send as they stand: those that the version keeps to warm itself with. They hold only hashes of
 * what is personal, in whose place a made-up text stands, and lack a unit that is no input.
 */
export function exampleRows(version: ModelVersion): RawRow[] {
  const { inputs, serving } = version;
  return version.warmUpRows.map((row) => {
    const example = { ...row };
    for (const [name, input] of Object.entries(inputs))
      if (input.type === 'string' && input.pii && typeof row[name] === 'string')
        example[name] = input.values?.[0] ?? 'example'.slice(0, input.maxLength);
    if (serving?.unit !== undefined && example[serving.unit] == null) example[serving.unit] = 'example';
    return example;
  });
}
