// A forked process has no loader for TypeScript until it registers its own, and neither has the thread below.
import { Worker } from 'node:worker_threads';
import { register } from 'tsx/esm/api';

// Ctrl-C and a service manager's stop reach the whole group: when the child ends is its parent's business.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);
process.on('disconnect', () => process.exit());
new Worker(new URL('../../../onnx/watch-parent.js', import.meta.url), {
  workerData: Number(process.argv[2]),
  execArgv: [],
});

register();
await import('./child.ts');
