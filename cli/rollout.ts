import { readFileSync } from 'node:fs';
import type { Client } from '../api/client.ts';
import type { Rollout, RolloutStart } from '../api/control/shapes.ts';
import type { Figure, Verdict } from '../schemas/look.ts';
import type { RolloutStatus } from '../schemas/rollout.ts';
import type { Stage } from '../schemas/stage.ts';
import { EXIT } from './exit-codes.ts';
import { figure, paint, say, sayTable, when } from './output.ts';

/** What rollouts, their stages and their looks look like in a terminal. */

/** The version that was named, else the newest. */
export async function versionOf(client: Client, model: string, to: number | undefined): Promise<number> {
  const version = to ?? (await client.model(model)).newest;
  if (version !== undefined) return version;
  const { UserError } = await import('../schemas/problem.ts');
  throw new UserError('NoVersion', `${model} has no version yet. Train one with: gauntlet train ${model}`);
}

/** Stages as they are written. */
export type Stages = NonNullable<Parameters<Client['startRollout']>[1]>['stages'];

/** Of a YAML or JSON file, such as a list of stages. */
export async function readYaml(path: string): Promise<unknown> {
  const [{ parse }, { UserError }] = await Promise.all([import('yaml'), import('../schemas/problem.ts')]);
  try {
    return parse(readFileSync(path === '-' ? 0 : path, 'utf8')) as unknown;
  } catch (error) {
    throw new UserError('BadFile', `${path} cannot be read as YAML: ${(error as Error).message}`);
  }
}

const GOOD = new Set(['promoted', 'passed']);

/** Sets the exit code, and says how it ended or that it goes on. */
export function sayStart(model: string, version: number, started: RolloutStart): void {
  const { result, workflowId, ui, superseded } = started;
  if (superseded !== undefined) say(superseded);
  if (!result) {
    say(`${paint('bold', workflowId)} of version ${version} is under way${ui ? `: ${ui}` : ''}`);
    return say(`See it: gauntlet rollout ${model} --follow`);
  }
  const colour = GOOD.has(result.outcome) ? 'green' : 'yellow';
  say(
    `${paint(colour, result.outcome)} ${model} version ${result.version}${result.revision ? ` (revision ${result.revision})` : ''}: ${result.because}`,
  );
}

export function exitCodeOf({ result, state }: Pick<Rollout, 'result' | 'state'>): number {
  if (result) return GOOD.has(result.outcome) ? EXIT.ok : EXIT.failed;
  return state === 'running' || state === 'forgotten' ? EXIT.ok : EXIT.failed;
}

/** Where it stands, as a page: stages, the newest look with its figures, votes, and what comes next. */
export async function sayRollout(client: Client, model: string, rollout: Rollout): Promise<void> {
  const { status, ui, waiting } = rollout;
  say(`${paint('bold', model)}  ${rollout.says}`);
  if (waiting !== undefined) say(`${paint('yellow', 'waiting')}  ${waiting}`);
  if (ui !== undefined) say(paint('dim', ui));
  if (!status) return;
  const { stages, look, votes, refused, nextLookAt, deadline, lines } = status;
  if (stages.length > 0) {
    say('');
    sayTable(
      ['', 'STAGE', 'PLAN'],
      stages.map((stage, i) => [markOf(status, i), `${i + 1} ${nameOf(stage)}`, planOf(stage)]),
    );
  }
  if (look) {
    say('');
    say(`Newest look  ${look.key}  ${paint('dim', look.sha256.slice(0, 8))}`);
    say(`  ${verdictOf(look.verdict)}`);
    const figures = await client.look(model, look.key).then(
      (found) => found.look.figures,
      () => [],
    );
    sayFigures(figures);
  }
  if (status.awaiting)
    say(
      `\nAsked: ${status.awaiting.key} (${status.awaiting.sha256.slice(0, 8)}). gauntlet approve ${model} --reason "..."  or  gauntlet reject ${model} --reason "..."`,
    );
  for (const vote of votes)
    say(
      `  ${vote.says} by ${vote.by}${vote.verified ? '' : ' (unverified)'}, ${when(vote.at)}, by ${vote.channel}${vote.counts ? '' : `; does not count: ${vote.why}`}: ${vote.reason}`,
    );
  if (nextLookAt !== undefined) say(`Next look    ${when(nextLookAt)}`);
  if (deadline !== undefined) say(`Deadline     ${when(deadline)}`);
  if (refused.length > 0)
    say(
      `\nRefused\n${refused
        .slice(-5)
        .map((line) => `  ${line}`)
        .join('\n')}`,
    );
  if (lines.length > 0)
    say(
      `\nSo far\n${lines
        .slice(-10)
        .map((line) => `  ${line}`)
        .join('\n')}`,
    );
}

export function sayFigures(figures: readonly Figure[]): void {
  if (figures.length === 0) return;
  sayTable(
    ['FIGURE', 'VALUE', 'LOWER', 'UPPER', 'LIMIT', 'BLOCKS', 'ROWS', 'COVERAGE', 'UNSEEN'],
    figures.map((one) => [
      one.name,
      figure(one.value),
      optional(one.lower),
      optional(one.upper),
      optional(one.limit),
      one.blocks,
      one.rows,
      share(one.coverage),
      share(one.unseenShare),
    ]),
  );
}

const optional = (value: number | undefined): string | undefined => (value === undefined ? undefined : figure(value));
const share = (value: number | undefined): string | undefined =>
  value === undefined ? undefined : `${Number((value * 100).toPrecision(3))} %`;

const COLOURS = { pass: 'green', fail: 'red', undecided: 'yellow', 'no-data': 'yellow' } as const;
/** @example verdictOf({ says: 'fail', because: 'effect: worse by .01' }) // 'fail: effect: worse by .01' */
export const verdictOf = ({ says, because }: Verdict): string => `${paint(COLOURS[says], says)}: ${because}`;

const markOf = ({ at, state, outcome }: RolloutStatus, i: number): string => {
  if (i < at) return '✓';
  if (i > at) return '';
  if (state !== 'ended') return '→';
  return outcome === undefined ? '·' : '✗';
};

export const nameOf = (stage: Stage): string =>
  stage.kind === 'canary' ? `canary ${Number((stage.weight * 100).toPrecision(3))} %` : stage.kind;

function planOf(stage: Stage): string {
  switch (stage.kind) {
    case 'shadow':
      return `a look every ${stage.lookEvery}, at most ${stage.maxDuration}, alpha ${stage.alpha}, unseen at most ${stage.maxUnseen}${stage.live ? `, live for ${stage.live.atLeast}` : ''}`;
    case 'approval':
      return `a word within ${stage.deadline}, else rejected`;
    case 'canary':
    case 'bake':
      return `${stage.minDuration} to ${stage.maxDuration}, at least ${stage.minRequests} units, errors at most ${Number((stage.maxErrorRate * 100).toPrecision(3))} %`;
  }
}
