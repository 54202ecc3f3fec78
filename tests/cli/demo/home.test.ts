import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ACTS, MODEL } from '../../../cli/demo/acts.ts';
import { demo } from '../../../cli/demo/demo.ts';
import { openStores } from '../../../bucket/index.ts';
import { writeModel } from '../../workflows/rollout-lab.ts';

let home: string;
const lines: string[] = [];
const say = (line: string) => void lines.push(line);
const screen = { width: 120, heading: say, line: say, live: () => {} };
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'gauntlet-demo-home-'));
});
afterEach(() => rm(home, { recursive: true, force: true }));

it('a home in which a version serves is refused, and nothing is brought up in it', async () => {
  await writeModel(await openStores({ bucket: `file:${join(home, 'bucket')}`, home }), MODEL);
  const before = await readdir(home);
  await expect(demo({ act: ACTS['1'], home, screen })).rejects.toThrow(
    `${home} is the home of an earlier demo, in which version 1 of ${MODEL} serves`,
  );
  expect(await readdir(home)).toEqual(before);
});

it('one that is stopped before it is up says so, and leaves nothing', async () => {
  const ended = new AbortController();
  ended.abort();
  const ending = await demo({ act: ACTS['1'], home, screen, port: 0, signal: ended.signal });
  expect(ending.ok).toBe(false);
  expect(lines).toContain('Stopped before the end.');
});
