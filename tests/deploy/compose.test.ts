import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { SEARCH_ATTRIBUTES } from '../../schemas/index.ts';
import { TEMPORAL_CLI } from '../../workers/temporal/index.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string) => readFileSync(`${ROOT}/${file}`, 'utf8');

interface Service {
  image?: string;
  command?: string[];
  environment?: Record<string, string>;
  volumes?: string[];
  ports?: string[];
  healthcheck?: object;
  depends_on?: Record<string, { condition: string }>;
}
const compose = parse(read('docker-compose.yml'), { merge: true }) as {
  services: Record<'temporal' | 's3' | 'gauntlet', Service> & Record<string, Service>;
  volumes: object;
};

/** How this machine runs Compose: the docker plugin, or the program of its own that Debian has. */
const command = [['docker', 'compose'], ['docker-compose']].find(([program, ...args]) => {
  try {
    execFileSync(program!, [...args, 'version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
});
if (!command)
  console.warn('SKIPPED: `docker compose config`, because neither docker compose nor docker-compose is here');

describe('docker-compose.yml', () => {
  it.skipIf(!command)('is accepted by docker compose config', () => {
    const [program, ...args] = command!;
    const printed = execFileSync(program!, [...args, '-f', 'docker-compose.yml', 'config'], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    const { services } = parse(printed) as { services: object };
    expect(Object.keys(services).toSorted()).toEqual(Object.keys(compose.services).toSorted());
  });

  it('starts Temporal with the search attributes that our workflows use', () => {
    const given = compose.services.temporal.command!.filter((arg) => arg.startsWith('--search-attribute='));
    expect(given).toEqual(
      Object.entries(SEARCH_ATTRIBUTES).map(([name, type]) => `--search-attribute=${name}=${type}`),
    );
  });

  it('runs the Temporal that is fetched for one machine too', () => {
    expect(compose.services.temporal.image).toBe(`temporalio/temporal:${TEMPORAL_CLI.wheel.version}`);
  });

  it('opens no port to other machines', () => {
    for (const { ports = [] } of Object.values(compose.services))
      for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
  });

  it('keeps the state of each server in a volume, and waits for health before Gauntlet starts', () => {
    for (const name of ['temporal', 's3', 'gauntlet'] as const)
      expect(compose.services[name].volumes).toEqual([`${name}:/data`]);
    expect(Object.keys(compose.volumes)).toEqual(['temporal', 's3', 'gauntlet']);
    expect(compose.services.temporal.healthcheck).toBeDefined();
    expect(compose.services.s3.healthcheck).toBeDefined();
    for (const name of Object.keys(compose.services.gauntlet.depends_on!))
      expect(compose.services[name]!.depends_on).toMatchObject({
        [name.split('-')[0]!]: { condition: 'service_healthy' },
      });
  });

  it('gives Gauntlet and the S3 server the same credentials', () => {
    const { s3, gauntlet } = compose.services;
    expect(gauntlet.environment).toMatchObject(s3.environment!);
  });
});

describe('deploy/Dockerfile', () => {
  it('runs as a user without rights, and brings up everything', () => {
    const lines = read('deploy/Dockerfile').split('\n');
    expect(lines).toContain('USER node');
    expect(lines).toContain('CMD ["node", "bin/gauntlet.js", "up"]');
  });
});
