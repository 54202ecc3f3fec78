// A forked process has no loader for TypeScript until it registers its own.
import { Worker } from 'node:worker_threads';
import { register } from 'tsx/esm/api';

process.on('disconnect', () => process.exit());
// A run of a graph blocks the event loop, and with it the news that the parent is gone; a thread still sees it.
const watch = `setInterval(() => {
  if (process.ppid !== ${Number(process.argv[2])}) process.kill(process.pid, 'SIGKILL');
}, 250)`;
new Worker(watch, { eval: true, execArgv: [] });

register();
await import('./score-child.ts');
