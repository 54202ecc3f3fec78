import { explained } from './explain.ts';

export type FileFormat = 'parquet' | 'csv' | 'ndjson';

/** One file of a source: where it lies on this machine, how to read it, and what its owner calls it. */
export interface SourceFile {
  path: string;
  format: FileFormat;
  gzip: boolean;
  /** Name of the source in model.yaml. */
  source?: string;
  /** As model.yaml names it; the path where nobody does. */
  file?: string;
  /** It holds personal values: no message shows what stands in it. */
  personal?: boolean;
}

export const FORMATS = '.parquet, .csv, .csv.gz, .ndjson, .ndjson.gz, .jsonl or .jsonl.gz';

/**
 * How a file is read, by its name.
 * @throws {UserError} where the name says nothing
 */
export function formatOf(source: string, file: string): { format: FileFormat; gzip: boolean } {
  const match = /\.(parquet|csv|ndjson|jsonl)(\.gz)?$/i.exec(file);
  const format = match?.[1]!.toLowerCase();
  if (!match || (format === 'parquet' && match[2]))
    throw explained('UnknownFormat', {
      what: `Source ${source}: the name of ${file} does not say how to read it.`,
      found: file,
      expected: `a name that ends in ${FORMATS}`,
      next: `convert the file, and name it in sources.${source}.file of model.yaml`,
    });
  return { format: format === 'jsonl' ? 'ndjson' : (format as FileFormat), gzip: match[2] !== undefined };
}
