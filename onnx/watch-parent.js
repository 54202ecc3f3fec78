// A run of a graph blocks the event loop, and with it the news that the parent is gone; a thread still sees it.
import { workerData } from 'node:worker_threads';

setInterval(() => {
  if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL');
}, 250);
