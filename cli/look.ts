import type { JudgedAgain, LookDetail } from '../api/control/shapes.ts';
import type { RuleResult } from '../schemas/look.ts';
import { paint, say, sayTable, when } from './output.ts';
import { sayFigures, verdictOf } from './rollout.ts';

/** A look as a page: what it said, by which rules, on which figures. */
export function sayLook({ key, sha256, look }: LookDetail): void {
  const { kind, at, versions, window, rollout, run, verdict, rules, figures, evidence } = look;
  say(`${paint('bold', key)}  ${sha256}`);
  say(
    `${kind} at ${when(at)}${versions.length > 0 ? `, of version ${versions.join(' and ')}` : ''}, prediction times ${when(window.from)} to ${when(window.to)}`,
  );
  if (rollout) say(`stage ${rollout.stage + 1} of ${rollout.workflowId}, run ${rollout.runId}`);
  if (run !== undefined) say(`of ${run}`);
  say(verdictOf(verdict));
  sayRules(rules);
  if (figures.length > 0) say('');
  sayFigures(figures);
  if (evidence.kind === 'approval')
    for (const vote of evidence.votes)
      say(
        `  ${vote.says} by ${vote.by}${vote.verified ? '' : ' (unverified)'}, ${when(vote.at)}, by ${vote.channel}${vote.counts ? '' : `; did not count: ${vote.why}`}: ${vote.reason}`,
      );
}

export function sayJudged({ key, was, now, same, build }: JudgedAgain): void {
  say(paint('bold', key));
  say(`then  ${verdictOf(was.verdict)}  ${paint('dim', `(${build.slice(0, 12)})`)}`);
  say(`now   ${verdictOf(now.verdict)}`);
  if (same) return say('The same.');
  const before = new Map(was.rules.map((rule) => [rule.rule, rule]));
  sayRules(now.rules.filter((rule) => before.get(rule.rule)?.because !== rule.because));
}

function sayRules(rules: readonly RuleResult[]): void {
  if (rules.length === 0) return;
  say('');
  sayTable(
    ['RULE', 'SAYS', 'BECAUSE'],
    rules.map(({ rule, says, because }) => [rule, says, because]),
  );
}
