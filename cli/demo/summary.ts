import type { RolloutResult, Verdict } from '../../schemas/index.ts';
import type { Act } from './acts.ts';
import type { Harm } from './broken-graphs.ts';
import type { Tally } from './player.ts';

/** What has happened. */
export interface Told {
  /** Of the shadow trial, oldest first. */
  looks: { day: number; says: Verdict['says']; because: string; key: string }[];
  /** How the rollout ended in its trial; absent where it went on from there. */
  trial?: RolloutResult | undefined;
  promotion?: RolloutResult | undefined;
  broken: { harm: Harm; outcome: RolloutResult['outcome']; failed: number }[];
}

export interface Ending {
  ok: boolean;
  lines: string[];
}

const HARMS: readonly Harm[] = ['hangs', 'NaN'];

/**
 * Whether the demo came out as it is promised.
 *
 * - Every request is answered with 2xx.
 * - Where a pass is expected: no look says fail before it, it comes on a day between the two, the challenger becomes
 *   champion, and each of the broken ones is rolled back without a failed request.
 * - Where a fail is expected: no look says pass before it, and the challenger is rejected.
 */
export function judgeDemo(expects: Act['expects'], told: Told & { tally: Tally }): Ending {
  const { looks, tally } = told;
  const checks: [boolean, string][] = [];
  const decided = looks.find(({ says }) => says === 'pass' || says === 'fail');
  const word = { pass: 'better', fail: 'worse' }[expects.says];
  if (!decided) checks.push([false, `the trial found nothing in ${looks.length} looks; ${word} is expected`]);
  else if (decided.says !== expects.says)
    checks.push([false, `on day ${decided.day} a look says ${decided.says}; ${word} is expected: ${decided.because}`]);
  else if (expects.says === 'pass') {
    const { fromDay, toDay } = expects;
    const inTime = decided.day >= fromDay && decided.day <= toDay;
    checks.push([
      inTime,
      `better on day ${decided.day} (from ${fromDay} to ${toDay} is expected), look ${looks.indexOf(decided) + 1}`,
    ]);
    checks.push([
      told.promotion?.outcome === 'promoted',
      told.promotion
        ? `the challenger is ${told.promotion.outcome}: ${told.promotion.because}`
        : `the challenger did not get to a canary${told.trial ? `: ${told.trial.because}` : ''}`,
    ]);
    for (const harm of HARMS) {
      const broken = told.broken.find((one) => one.harm === harm);
      const name = harm === 'NaN' ? 'answers NaN' : harm;
      checks.push([
        broken?.outcome === 'rolled back' && broken.failed === 0,
        broken
          ? `the version that ${name} is ${broken.outcome}, ${broken.failed} requests failed`
          : `the version that ${name} did not get its turn`,
      ]);
    }
  } else {
    checks.push([true, `worse on day ${decided.day}, look ${looks.indexOf(decided) + 1}: ${decided.because}`]);
    checks.push([told.trial?.outcome === 'rejected', `the challenger is ${told.trial?.outcome ?? 'still there'}`]);
  }
  const of = `${tally.requests.toLocaleString('en-US')} requests with ${tally.rows.toLocaleString('en-US')} bookings and ${tally.labels.toLocaleString('en-US')} outcomes`;
  checks.push([
    tally.failed === 0 && tally.requests > 0,
    tally.failed === 0
      ? `${of}: all answered with 2xx`
      : `${tally.failed} of ${of} were not answered with 2xx: ${tally.firstFailures.join(' | ')}`,
  ]);
  return { ok: checks.every(([ok]) => ok), lines: checks.map(([ok, text]) => `${ok ? '✓' : '✗'} ${text}`) };
}
