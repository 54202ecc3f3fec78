export { clopperPearson } from './clopper-pearson.ts';
export { confidenceRadius, mixtureParameter, type Sides } from './confidence-sequence.ts';
export { CanaryEValue, type EBlock } from './e-value.ts';
export { placeboRate, type PlaceboCell, type PlaceboOptions, type PlaceboRates } from './placebo.ts';
export { sampleRatioLogOdds } from './sample-ratio.ts';
export { LEAST_BLOCKS, stratifiedBand, type Band, type BandOptions, type Cell } from './stratified-band.ts';
