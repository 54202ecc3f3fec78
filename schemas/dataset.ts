import * as z from 'zod';
import { Sha256 } from './names.ts';

/** datasets/<name>/<hash>.json: one version of a source's data; the hash is over file bytes. */
export const DatasetVersion = z
  .object({
    name: z.string(),
    hash: Sha256,
    parts: z.array(
      z.object({
        sha256: Sha256,
        bytes: z.int().nonnegative(),
        rows: z.int().nonnegative(),
        format: z.enum(['parquet', 'csv', 'ndjson']),
        gzip: z.boolean(),
      }),
    ),
    rows: z.int().nonnegative(),
    bytes: z.int().nonnegative(),
    columns: z.array(z.object({ name: z.string(), type: z.string().describe('As DuckDB calls it') })),
    source: z.string(),
    ingestedAt: z.iso.datetime(),
  })
  .meta({ id: 'DatasetVersion' });
export type DatasetVersion = z.infer<typeof DatasetVersion>;

/** Reference to sealed training rows: the object, and a hash over their canonical form (not over Parquet bytes). */
export const SealedRows = z.object({
  object: Sha256,
  rowsHash: Sha256,
  rows: z.int().nonnegative(),
  piiKey: z.string().optional().describe('Fingerprint of the key that personal values were hashed with'),
});
export type SealedRows = z.infer<typeof SealedRows>;

export const ExpectationResult = z.object({
  expectation: z.string().describe('In words: between(lead_time, 0, 800) on hotel_bookings'),
  passed: z.boolean(),
  failed: z.int().nonnegative().describe('Rows that break it'),
  rows: z.int().nonnegative().describe('Rows looked at'),
  because: z.string(),
  examples: z.array(z.record(z.string(), z.unknown())).describe('A few failing rows'),
});
export type ExpectationResult = z.infer<typeof ExpectationResult>;

/** What one expectation counted in its source, before anybody says whether that is good. */
export interface ExpectationCounts {
  source: string;
  /** Rows of the source. */
  rows: number;
  /** Rows that break it; undefined where they could not be counted, and `uncountable` says why. */
  failed?: number;
  uncountable?: string;
  /** A few rows that break it, with some columns that tell which they are. */
  examples: Record<string, unknown>[];
}
