/**
 * Histogram gradient boosting, at the textbook's joints: binning, histogram, split, grow, boost, predict.
 * The objectives (logistic, softmax, squared error) stay here; metrics and encodings stay out.
 *
 * @see Friedman 2001, doi:10.1214/aos/1013203451; Chen & Guestrin 2016, doi:10.1145/2939672.2939785;
 *   Ke et al. 2017 (LightGBM), NeurIPS
 */
export { Booster } from './boost.ts';
export type { BoostingCurvePoint, FinishedBoosting } from './boost.ts';
export type { BoostingParameters } from './parameters.ts';
export { predictMargins } from './predict.ts';
export type { TrainingData as BoostingData } from '../training-data.ts';
