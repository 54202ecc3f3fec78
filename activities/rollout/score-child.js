// A forked process has no loader for TypeScript until it registers its own, and neither has the thread below.
import { Worker } from 'node:worker_threads';
import { register } from 'tsx/esm/api';

process.on('disconnect', () => process.exit());
new Worker(new URL('../../onnx/watch-parent.js', import.meta.url), {
  workerData: Number(process.argv[2]),
  execArgv: [],
});

register();
await import('./score-child.ts');
