/**
 * One graph: built here, opened here. The expression language, preprocessing, trees and linear models as ONNX, and the
 * decoding of raw values on their way in; and what watches a process that runs a graph for others. Training lives in
 * numerics; nothing here reads a file, a clock or a bucket.
 */
export { buildDerivations, buildGraph, buildHead } from './build-graph.ts';
export { decodeColumn } from './decode-column.ts';
export { decodeRows } from './decode-rows.ts';
export { decodeValue, describeInput, isLonger, shown, type Decoded } from './decode-value.ts';
export { derive } from './derive.ts';
export { ExpressionError, FUNCTIONS, parse, type Expression, type Type } from './expression/index.ts';
export { featureMatrix } from './feature-matrix.ts';
export { featureNames, fitPreprocessing } from './fit-preprocessing.ts';
export { checkGraphSpec, graphInputs, usesPredictedAt } from './graph-columns.ts';
export { parseDate, parseTimestamp } from './instants.ts';
export type { PiiHasher } from '../schemas/index.ts';
export { piiHasher, requirePii, wrongKey, type Personal } from './pii.ts';
export { openModel, type OnnxModel } from './open-model.ts';
export { RESIDENT_LOOK_MS, residentBytes } from './resident-bytes.ts';
