import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ACTS, type Act } from '../../cli/demo/acts.ts';
import { demo } from '../../cli/demo/demo.ts';
import type { Ending } from '../../cli/demo/summary.ts';
import { anyFree } from '../../workers/temporal/ports.ts';
import { processesOf } from './process.ts';

/** Act 1 in weeks instead of months: a challenger of thirty small trees, evidence by day, canaries of two seconds. */
const SHORT: Act = {
  ...ACTS['1'],
  title: 'a few weeks',
  challenger: {
    called: 'thirty small trees',
    overrides: {
      'training.trees': 30,
      'training.maxDepth': 4,
      'training.learningRate': 0.2,
      'split.refit': false,
      'evaluation.gates': {},
    },
  },
  stages: [
    // What it looks for is said: days are too few for a plan that looks for what boosting really gains.
    { kind: 'shadow', minimumEffect: 0.001, worthFinding: 0.2, maxUnseen: 0.9, block: 'day', lookEvery: '1 second' },
    { kind: 'approval' },
    {
      kind: 'canary',
      weight: 0.25,
      minDuration: '2 seconds',
      minRequests: 50,
      lookEvery: '1 second',
      maxScoreShift: 2,
    },
    { kind: 'bake', minDuration: '2 seconds', minRequests: 50, lookEvery: '1 second' },
  ],
  daysPerSecond: 6,
  expects: { says: 'pass', fromDay: 15, toDay: 100 },
};

const MINUTES = 60_000;

describe('the demo, in a few weeks of the log', () => {
  const lines: string[] = [];
  let home: string;
  let ending: Ending;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'gauntlet-demo-test-'));
    const screen = { width: 120, heading: say, line: say, live: () => {} };
    ending = await demo({ act: SHORT, approve: true, home, port: await anyFree(), screen });
  }, 10 * MINUTES); // alone a minute; not where everything else runs beside it
  afterAll(async () => {
    await rm(home, { recursive: true, force: true });
  });

  function say(line: string): void {
    lines.push(...line.trim().split('\n'));
  }

  it('finds the challenger better, takes it through a canary to champion, and both broken ones back', () => {
    expect(ending.lines.join('\n')).not.toContain('✗');
    expect(ending.ok, lines.join('\n')).toBe(true);
    expect(ending.lines).toContain('✓ the version that hangs is rolled back, 0 requests failed');
    expect(ending.lines).toContain('✓ the version that answers NaN is rolled back, 0 requests failed');
  });

  it('tells the story in order', () => {
    const story = [
      /^1\. It is 2016-07-01: /,
      /^version 1 serves at /,
      /^2\. A challenger: thirty small trees/,
      /^3\. The trial/,
      /^plan: pass/,
      /^log date +day/,
      /^2016-\d\d-\d\d +\d+ .*better$/,
      /^4\. A person's word/,
      /^5\. Live traffic/,
      /^canary 25 %: .*pass/,
      /^bake: .*pass/,
      /^6\. Version 3 hangs/,
      /rolled back.* after .*version 2 serves\.$/,
      /^7\. Version 4 answers NaN/,
      /^In short/,
    ];
    const at = story.map((step) => lines.findIndex((line) => step.test(line)));
    story.forEach((step, i) => expect(at[i], `${step} in\n${lines.join('\n')}`).toBeGreaterThanOrEqual(0));
    expect(at).toEqual(at.toSorted((a, b) => a - b));
  });

  it('keeps what it did where it was told to, and leaves nothing running', async () => {
    expect(await readdir(join(home, 'bucket', 'versions', 'hotel-cancellations'))).toHaveLength(4);
    // This process is named by its own folder, not by that one.
    expect(await processesOf(home)).toEqual([]);
  });
});
