import { LOSSES, type Loss, type ShadowStage, type Task } from '../../schemas/index.ts';

const CLIP = 1e-6;

/** What a trial is about where its stage does not say. */
export const lossOfTrial = (stage: Pick<ShadowStage, 'loss'>, task: Task): Loss => stage.loss ?? LOSSES[task][0];

/**
 * Mean of each loss that a task has, as `measureTrial` defines them.
 *
 * @param labels  [rows] 0 and 1, the class's index, or the value
 * @param scores  [outputs][rows]
 */
export function meanLosses(
  task: Task,
  labels: Float64Array,
  scores: readonly Float64Array[],
): Partial<Record<Loss, number>> {
  return Object.fromEntries(
    LOSSES[task].map((loss) => {
      let sum = 0;
      for (let i = 0; i < labels.length; i++) sum += lossOfRow(loss, task, labels[i]!, scores, i);
      return [loss, sum / labels.length];
    }),
  );
}

function lossOfRow(loss: Loss, task: Task, y: number, scores: readonly Float64Array[], i: number): number {
  const p = scores[0]![i]!;
  if (loss === 'absoluteError') return Math.abs(y - p);
  if (loss === 'squaredError') return (y - p) ** 2;
  if (loss === 'logLoss') {
    const ofTruth = task === 'multiclass' ? (scores[y]?.[i] ?? 0) : y === 1 ? p : 1 - p;
    return -Math.log(Math.min(1 - CLIP, Math.max(CLIP, ofTruth)));
  }
  if (task === 'binary') return (y - p) ** 2;
  return scores.reduce((sum, ofClass, k) => sum + (Number(k === y) - ofClass[i]!) ** 2, y < 0 ? 1 : 0);
}
