import type * as z from 'zod';

type Def = {
  type: string;
  shape?: Record<string, z.core.$ZodType>;
  innerType?: z.core.$ZodType;
  element?: z.core.$ZodType;
  valueType?: z.core.$ZodType;
  keyType?: z.core.$ZodType;
  options?: z.core.$ZodType[];
  discriminator?: string;
  in?: z.core.$ZodType;
  entries?: Record<string, unknown>;
};

/**
 * The keys that a schema knows at a place, for "did you mean"; [] where any key may stand.
 *
 * @param root  the value as given: it chooses among the kinds of a union
 */
export function keysAt(schema: z.core.$ZodType, path: readonly PropertyKey[], root: unknown): string[] {
  let candidates = [schema];
  let value = root;
  for (const step of path) {
    candidates = candidates
      .flatMap((candidate) => unfold(candidate, value))
      .flatMap((candidate) => {
        const def = defOf(candidate);
        const next = def.shape?.[String(step)] ?? def.valueType ?? def.element;
        return next ? [next] : [];
      });
    value = typeof value === 'object' && value !== null ? (value as Record<PropertyKey, unknown>)[step] : undefined;
  }
  const keys = candidates
    .flatMap((candidate) => unfold(candidate, value))
    .flatMap((candidate) => {
      const { shape, keyType } = defOf(candidate);
      return shape ? Object.keys(shape) : keyType ? Object.keys(defOf(keyType).entries ?? {}) : [];
    });
  return [...new Set(keys)];
}

function defOf(schema: z.core.$ZodType): Def {
  return schema._zod.def;
}

/** Optional, default and the like are looked through; of a union stay the options that the value may mean. */
function unfold(schema: z.core.$ZodType, value: unknown): z.core.$ZodType[] {
  const { innerType, in: input, options, discriminator } = defOf(schema);
  if (innerType) return unfold(innerType, value);
  if (input) return unfold(input, value);
  if (!options) return [schema];
  const open = options.flatMap((option) => unfold(option, value));
  const kind =
    discriminator && typeof value === 'object' ? (value as Record<string, unknown> | null)?.[discriminator] : undefined;
  if (kind === undefined) return open;
  return open.filter((option) => {
    const expected = defOf(option).shape?.[discriminator!];
    return expected?._zod.values?.has(kind as string);
  });
}
