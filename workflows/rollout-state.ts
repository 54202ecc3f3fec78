import { setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type {
  ApprovalPlan,
  LookRef,
  OpenRollout,
  RecordedVote,
  RolloutStatus,
  ScoreHistogram,
  ShadowPlan,
  Stage,
  Steer,
} from '../schemas/index.ts';
import { now } from './manners.ts';

/** Messages that were refused are kept, the newest of them: a broken client must not fill the workflow's memory. */
const MOST_REFUSED = 50;
const MOST_LINES = 60;

/** What an approval stage asks, from when until when. */
export interface Asked {
  plan: ApprovalPlan;
  ref?: LookRef;
  at: string;
}

/** The trial of the shadow stage, once it is planned. It goes on while people are asked about it. */
export interface Trial {
  plan: ShadowPlan;
  startedAt: string;
  looks: number;
  nextLookMs: number;
  /** The look that the next starts from; none after a change of the plan. */
  previous?: string;
}

/** Where a rollout stands, what it has heard, and what it tells the query, the details and the record of it. */
export class RolloutState {
  readonly model: string;
  readonly version: number;
  open: OpenRollout | undefined;
  at = -1;
  state: RolloutStatus['state'] = 'planning';
  revision: number | undefined;
  look: LookRef | undefined;
  readonly looks: string[] = [];
  /** Key of the look that the next revision rests on. */
  cites: string | undefined;
  trial: Trial | undefined;
  histogram: ScoreHistogram | undefined;
  asked: Asked | undefined;
  votes: RecordedVote[] = [];
  /** Whose vote is being checked. */
  readonly hearing = new Set<string>();
  paused: (Steer & { at: string }) | undefined;
  /** Records of words that were said: each counts once. */
  readonly spent = new Set<string>();
  /** Time spent paused, before the pause that is. */
  pausedMs = 0;
  wish: (Steer & { to: 'advance' | 'rollback' }) | undefined;
  /** Something was said that makes it worth looking before the time. */
  woken = false;
  deadline: string | undefined;
  outcome: string | undefined;
  readonly refused: string[] = [];
  readonly lines: string[] = [];
  readonly #said = new Map<number, string>();
  #newest: string | undefined;

  constructor(model: string, version: number) {
    this.model = model;
    this.version = version;
  }

  get stage(): Stage | undefined {
    return this.open?.stages[this.at];
  }

  get hasEnded(): boolean {
    return this.state === 'ended' || this.state === 'undoing';
  }

  /** It takes note of a look; the line says its figures. */
  saw(ref: LookRef | undefined, line: string): void {
    this.#newest = line;
    if (ref) {
      this.look = ref;
      if (!this.looks.includes(ref.key)) this.looks.push(ref.key);
    }
    this.say(line);
  }

  /** What the newest word on the stage is. */
  say(line: string): void {
    this.#said.set(this.at, line);
    this.tell();
  }

  /** Something that is to be found afterwards: a stage passed, a person's word. */
  note(line: string): void {
    this.lines.push(`${now()} ${line}`);
    if (this.lines.length > MOST_LINES) this.lines.shift();
    this.tell();
  }

  refuse(line: string): void {
    this.refused.push(`${now()} ${line}`);
    if (this.refused.length > MOST_REFUSED) this.refused.shift();
    this.tell();
  }

  pause(steer: Steer): void {
    this.paused = { ...steer, at: now() };
    this.note(`paused by ${steer.by}: ${steer.reason}`);
  }

  /** @returns how long it was paused */
  resume(steer: Steer): void {
    if (this.paused) this.pausedMs += Date.parse(now()) - Date.parse(this.paused.at);
    this.paused = undefined;
    this.woken = true;
    this.note(`resumed by ${steer.by}: ${steer.reason}`);
  }

  status(): RolloutStatus {
    const { open, asked, trial } = this;
    const waiting = this.state === 'running' && asked ? 'waiting' : this.state;
    return {
      model: this.model,
      version: this.version,
      ...(open?.champion !== undefined && { champion: open.champion }),
      stages: open?.stages ?? [],
      at: this.at,
      state: this.paused && !this.hasEnded ? 'paused' : waiting,
      ...(this.revision !== undefined && { revision: this.revision }),
      ...(this.look && { look: this.look }),
      ...(asked?.ref && { awaiting: asked.ref }),
      votes: [...this.votes],
      refused: [...this.refused],
      ...(trial && !this.hasEnded && { nextLookAt: new Date(trial.nextLookMs).toISOString() }),
      ...(this.deadline !== undefined && { deadline: this.deadline }),
      lines: [...this.lines],
      ...(this.outcome !== undefined && { outcome: this.outcome }),
    };
  }

  /** Puts it all into the details, so that Temporal's UI alone tells a person where the rollout stands. */
  tell(): void {
    const { open, look, paused, asked, outcome } = this;
    const against = open?.champion === undefined ? '' : ` against champion ${open.champion}`;
    const by = open ? ` · asked for by ${open.by}${open.reason === undefined ? '' : `: ${open.reason}`}` : '';
    const next = this.#next();
    const parts = [
      `**${this.model}** version ${this.version}${against}${by}`,
      ...(open ? [table(open.stages.map((stage, i) => this.#row(stage, i)))] : []),
      ...(look ? [`**Newest look** \`${look.key}\` (${look.sha256.slice(0, 8)}): ${this.#newest ?? ''}`] : []),
      ...(paused && !this.hasEnded ? [`**Paused** by ${paused.by} since ${paused.at}: ${paused.reason}`] : []),
      ...(asked && this.votes.length > 0 ? [list('Votes', this.votes.map(voteLine))] : []),
      ...(next === undefined ? [] : [`**Next**: ${next}`]),
      ...(outcome === undefined ? [] : [`**${outcome}**`]),
      ...(this.refused.length > 0 ? [list('Refused', this.refused.slice(-5))] : []),
      ...(this.lines.length > 0 ? [list('So far', this.lines.slice(-15))] : []),
    ];
    setCurrentDetails(parts.join('\n\n'));
  }

  #row(stage: Stage, i: number): string {
    const here = !this.hasEnded ? '→' : this.outcome === undefined ? '·' : '✗';
    const mark = i < this.at ? '✓' : i === this.at ? here : '';
    return `| ${mark} | ${nameOf(stage)} | ${(this.#said.get(i) ?? '').replaceAll('|', '\\|')} |`;
  }

  #next(): string | undefined {
    const { stage, trial, asked, deadline } = this;
    if (this.hasEnded || !stage) return undefined;
    if (stage.kind === 'approval') {
      const what = asked?.ref ? `look \`${asked.ref.sha256.slice(0, 8)}\`` : 'this version';
      return `a person's word on ${what} (signal or update \`approve\` or \`reject\`) by ${deadline}${trial ? `; the next look ${new Date(trial.nextLookMs).toISOString()}` : ''}`;
    }
    if (stage.kind === 'shadow')
      return trial ? `a look at ${new Date(trial.nextLookMs).toISOString()}` : 'the trial is being planned';
    return `looks every ${stage.lookEvery}, for ${stage.minDuration} to ${stage.maxDuration}`;
  }
}

export const nameOf = (stage: Stage): string =>
  stage.kind === 'canary' ? `canary ${Number((stage.weight * 100).toFixed(2))} %` : stage.kind;

const table = (rows: string[]): string => ['| | stage | |', '|---|---|---|', ...rows].join('\n');

const list = (title: string, items: string[]): string =>
  [`**${title}**`, ...items.map((line) => `- ${line}`)].join('\n');

const voteLine = ({ says, by, verified, counts, why, reason }: RecordedVote): string =>
  `${says} by ${by}${verified ? '' : ' (unverified)'}${counts ? '' : `, does not count (${why})`}: ${reason}`;

/** What an activity is told of its place in the rollout. */
export const opens = (by: string | undefined): { workflowId: string; runId: string; by: string; now: string } => {
  const { workflowId, runId } = workflowInfo();
  return { workflowId, runId, by: by ?? workflowId, now: now() };
};
