import { ImportLabelsResult, type ImportLabelsInput } from '../../schemas/index.ts';
import type { LabelImporting } from './shapes.ts';
import { startWorkflow, type TemporalOptions } from './temporal.ts';
import { waitForEnd } from './wait.ts';

/**
 * Starts the import of a model's labels from its sources, and waits a few seconds for its end.
 *
 * @throws {ProblemError} 409 when one is under way, or when this one failed
 */
export async function importLabels(
  o: TemporalOptions & { promotionWaitMs?: number },
  input: ImportLabelsInput,
): Promise<LabelImporting> {
  const { model } = input;
  const started = await startWorkflow(o, {
    type: 'importLabels',
    workflowId: `import-labels-${model}`,
    input,
    summary: `Import the labels of ${model}`,
    details: `Labels of **${model}**, from the sources of its newest applied project by label.import.sql.`,
    priorityKey: 3,
    follow: `/v1/models/${model}`,
  });
  const { workflowId, runId, ui } = started;
  const result = await waitForEnd(o, started, 'The import', o.promotionWaitMs);
  return { workflowId, runId, ui, ...(result !== undefined && { result: ImportLabelsResult.parse(result) }) };
}
