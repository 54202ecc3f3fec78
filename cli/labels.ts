import type { Client } from '../api/client.ts';
import { UserError } from '../schemas/problem.ts';
import { createBar } from './bar.ts';

type Kept = Pick<
  Awaited<ReturnType<Client['feedback']>>,
  'model' | 'labels' | 'corrections' | 'withdrawn' | 'labelIds'
>;

/** Well under what one request may carry. */
const LABELS_PER_REQUEST = 5_000;
const BYTES_PER_REQUEST = 4_000_000;

/**
 * Sends labels as they are written, one a line, so many at a time.
 *
 * @throws {UserError} naming lines by their place in the whole text, and what was kept before
 */
export async function sendLabels(client: Client, model: string, text: string): Promise<Kept> {
  const lines = text.split('\n');
  if (lines.every((line) => line.trim() === ''))
    throw new UserError('NoLabels', 'There is no label: give one JSON object a line.');
  const kept: Kept = { model, labels: 0, corrections: 0, withdrawn: 0, labelIds: [] };
  const bar = createBar();
  for (let from = 0; from < lines.length;) {
    const to = endOfBatch(lines, from);
    const batch = lines.slice(from, to);
    if (batch.some((line) => line.trim() !== '')) {
      const answer = await client.feedback(model, batch.join('\n')).catch((error: unknown) => {
        bar.clear();
        throw error instanceof UserError ? counted(error, from, kept.labels) : error;
      });
      kept.labels += answer.labels;
      kept.corrections += answer.corrections;
      kept.withdrawn += answer.withdrawn;
      kept.labelIds.push(...answer.labelIds);
    }
    from = to;
    if (to < lines.length) bar.set(to, lines.length, `${to}/${lines.length} lines`);
  }
  bar.clear();
  return kept;
}

function endOfBatch(lines: readonly string[], from: number): number {
  let to = from + 1;
  for (let bytes = Buffer.byteLength(lines[from]!); to < lines.length && to - from < LABELS_PER_REQUEST; to++) {
    bytes += Buffer.byteLength(lines[to]!) + 1;
    if (bytes > BYTES_PER_REQUEST) break;
  }
  return to;
}

/** Errors keep what they are, so that nobody-answers stays exit code 3. */
function counted(error: UserError, from: number, kept: number): UserError {
  if (from === 0) return error;
  const inWhole = (text: string) => text.replace(/\bline (\d+)/g, (_, n: string) => `line ${Number(n) + from}`);
  const before =
    kept === 0
      ? ''
      : `\nThe ${kept.toLocaleString('en-US')} labels of lines 1 to ${from} were kept: send the rest from line ${from + 1} on.`;
  return new UserError(
    error.type,
    inWhole(error.message) + before,
    error.issues.map((issue) => ({ ...issue, at: inWhole(issue.at) })),
  );
}
