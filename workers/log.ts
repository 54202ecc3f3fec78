import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DefaultLogger, Runtime, type LogLevel } from '@temporalio/worker';
import { pino, type Logger } from 'pino';

const LEVELS: Record<LogLevel, 'trace' | 'debug' | 'info' | 'warn' | 'error'> = {
  TRACE: 'trace',
  DEBUG: 'debug',
  INFO: 'info',
  WARN: 'warn',
  ERROR: 'error',
};

let installed = false;

/**
 * The process's structured log, Temporal's workers included: a file under the home, so that the screen stays readable,
 * or stdout where GAUNTLET_LOG=stdout (containers).
 */
export function openLog(home: string, env: NodeJS.ProcessEnv = process.env): Logger {
  const toStdout = env['GAUNTLET_LOG'] === 'stdout';
  const folder = join(home, 'logs');
  if (!toStdout) mkdirSync(folder, { recursive: true });
  const log = pino(
    { level: env['GAUNTLET_LOG_LEVEL'] ?? 'info', base: { pid: process.pid } },
    pino.destination({ dest: toStdout ? 1 : join(folder, 'gauntlet.log'), sync: true }),
  );
  return log;
}

export const temporalLogger = (log: Logger): DefaultLogger =>
  new DefaultLogger('INFO', ({ level, message, meta }) => log[LEVELS[level]]({ ...meta }, message));

/**
 * Sends what Temporal has to say to the log. From here on the runtime keeps the process alive until the last connection of
 * a worker is closed, or could not be made: so it comes right before the first one.
 */
export function logTemporal(log: Logger): void {
  if (installed) return;
  installed = true; // Temporal allows it once in a process
  // The process's own signal handler stops workers in order; the runtime's would end them behind its back.
  Runtime.install({
    logger: temporalLogger(log),
    shutdownSignals: [],
    // What the native part has to say belongs into the log too, and not between the lines of a screen.
    telemetryOptions: { logging: { filter: { core: 'WARN', other: 'ERROR' }, forward: {} } },
  });
}
