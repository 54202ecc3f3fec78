/** The gauntlet command: arguments in, text or JSON out, over the API's typed client. Decides nothing about models. */
export { createProgram } from './program.ts';
export { run } from './run.ts';
