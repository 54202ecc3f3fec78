import * as z from 'zod';

/** Model names are workflow ids, URL segments and bucket keys at once, so they are kept plain. */
export const MODEL_NAME_PATTERN = /^[a-z][a-z0-9-]{1,62}$/;

export const ModelName = z
  .string()
  .regex(MODEL_NAME_PATTERN, 'a model name is 2 to 63 lower-case letters, digits and hyphens, and begins with a letter')
  .describe('Name of a model, such as hotel-cancellations');
export type ModelName = z.infer<typeof ModelName>;

/** Names of columns, inputs and sources: they appear in SQL, in expressions and in the ONNX graph. */
export const ColumnName = z
  .string()
  .regex(
    /^[a-z_][a-z0-9_]{0,62}$/,
    'a column name is 1 to 63 lower-case letters, digits and underscores, and does not begin with a digit',
  );

/** Columns that rows.sql gives beside the inputs; no input may take their names. */
export const ROW_COLUMNS = ['entity', 'predicted_at', 'label', 'known_at'] as const;
export const RESERVED_NAMES: readonly string[] = [...ROW_COLUMNS, 'matures_at', 'request_id'];

export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'a sha256 is 64 hexadecimal digits');
