/** Linear models with an L2 penalty: logistic, softmax and least squares. The baseline of every run; no feature is scaled or encoded here. */
export { fitLinear } from './fit.ts';
export type { LinearParameters } from './fit.ts';
