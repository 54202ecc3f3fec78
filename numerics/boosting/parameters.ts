/** Settings of a boosted ensemble, under the names that model.yaml has for them. */
export interface BoostingParameters {
  /** Most rounds; a multiclass round is one tree per class. */
  trees: number;
  maxDepth: number;
  learningRate: number;
  /** Share of rows drawn for each round. */
  subsample: number;
  /** Share of features drawn for each tree. */
  columnSample: number;
  /** Smallest sum of hessians in a leaf. */
  minChildWeight: number;
  /** Fewest rows in a leaf. */
  minChildRows: number;
  /** Added to the sum of hessians in gains and leaf values. */
  l2: number;
  /** Most bins of a feature; missing values have one more of their own. At most 255. */
  maxBins: number;
  /** Stop when validation loss has not improved for this many rounds; 0: never. */
  earlyStoppingRounds: number;
  seed: number;
}

/** @throws {RangeError} naming the first setting outside its range */
export function checkParameters(p: BoostingParameters): void {
  const must = (name: keyof BoostingParameters, holds: boolean): void => {
    if (!holds) throw new RangeError(`boosting: ${name} is ${p[name]}`);
  };
  must('trees', Number.isInteger(p.trees) && p.trees >= 1);
  must('maxDepth', Number.isInteger(p.maxDepth) && p.maxDepth >= 1);
  must('learningRate', p.learningRate > 0 && Number.isFinite(p.learningRate));
  must('subsample', p.subsample > 0 && p.subsample <= 1);
  must('columnSample', p.columnSample > 0 && p.columnSample <= 1);
  must('minChildWeight', p.minChildWeight >= 0);
  must('minChildRows', Number.isInteger(p.minChildRows) && p.minChildRows >= 1);
  must('l2', p.l2 >= 0 && Number.isFinite(p.l2));
  must('maxBins', Number.isInteger(p.maxBins) && p.maxBins >= 2 && p.maxBins <= 255);
  must('earlyStoppingRounds', Number.isInteger(p.earlyStoppingRounds) && p.earlyStoppingRounds >= 0);
}
