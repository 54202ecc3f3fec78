/** The expression language of model.yaml: text to checked tree to ONNX nodes. It reads no rows. */
export { Checker, a } from './check.ts';
export { Compiler } from './compile.ts';
export { inputsOf, type Core } from './core.ts';
export { FUNCTIONS } from './functions.ts';
export { parse } from './parse.ts';
export { ExpressionError, type Expression, type Type } from './types.ts';
