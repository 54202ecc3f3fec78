import { rollBack as rollBackInLog } from '../../bucket/index.ts';
import * as z from 'zod';
import { mayRollOut, rolloutContradictions, type RolloutAnswer, type RolloutDoor } from '../../policies/index.ts';
import {
  ShadowStage,
  UserError,
  type Cause,
  type OpenRollout,
  type Revision,
  type RollbackInput,
  type RollbackResult,
  type Stage,
} from '../../schemas/index.ts';
import type { Context } from '../context.ts';
import { mayClaim } from './claim.ts';
import { createRouteStage, type Routed } from './route.ts';

export interface RolloutQuestion {
  model: string;
  version: number;
  /** Absent: the stages of the version's own model.yaml. */
  stages?: Stage[];
  force?: boolean;
  reason?: string;
  /** Through which door: absent, a promotion. */
  door?: RolloutDoor;
  /** What is otherwise than in model.yaml's shadow stage, of a shadow trial alone. */
  shadow?: Partial<ShadowStage>;
  /** Who asks, to open it if there are stages to pass: then the model is claimed. Absent: only whether it may go out. */
  opens?: { workflowId: string; runId: string; by: string; now: string };
}

export type RolloutPlan = RolloutAnswer & {
  was: number;
  champion?: number;
  look?: string;
  line: string;
  /** Where there are stages to pass, and somebody opens it. */
  opened?: { rollout: OpenRollout; claimed: Routed };
};

/**
 * May this version go out the way it was asked to, and through which stages? Whoever opens a rollout holds the model from
 * here on: a second is refused before anything is planned for hours. Safe to repeat: the claim is one entry.
 */
export const createPlanRollout = (context: Context) => ({
  async planRollout(question: RolloutQuestion): Promise<RolloutPlan> {
    const { stores, embedded = false } = context;
    const { model, door = 'promotion', opens } = question;
    const version = await stores.versions.read(model, question.version);
    if (!version) {
      const numbers = (await stores.versions.list(model)).map(({ n }) => n);
      throw new UserError(
        'UnknownVersion',
        `${model} has no version ${question.version}. ${numbers.length > 0 ? `It has ${numbers.join(', ')}.` : 'It has none yet: train it first.'}`,
      );
    }
    const project = await stores.projects.at(model, version.project.n);
    const look = (await stores.runs.read(model, version.run))?.look;
    const { models } = await stores.serving.table();
    const head = models[model];
    const champion = head?.serving.champion;
    const stages = stagesOf(question, project?.spec.rollout.stages ?? []);
    const answer = mayRollOut({
      model,
      version: question.version,
      stages,
      door,
      contradictions: rolloutContradictions({
        spec: project?.spec,
        stages,
        challenger: version,
        champion: champion === undefined ? undefined : await stores.versions.read(model, champion),
      }),
      champion,
      force: question.force ?? false,
      given: question.stages !== undefined,
      reason: question.reason,
    });
    const was = head?.n ?? 0;
    const plan = {
      ...answer,
      was,
      ...(look && { look }),
      ...(champion !== undefined && { champion }),
      line: answer.because,
    };
    if (answer.says === 'serves-already' && head && opens) {
      const because = await releaseEnded(context, head, opens);
      if (because !== undefined) return { ...plan, because, line: because };
    }
    if (answer.says !== 'stages' || !opens) return plan;
    const { now, ...who } = opens;
    const left = approvalLeftOut(stages, project?.spec.rollout.stages ?? [])
      ? ', without the approval of model.yaml'
      : '';
    const rollout: OpenRollout = {
      model,
      version: question.version,
      ...(champion !== undefined && { champion }),
      stages,
      project: version.project,
      ...who,
      ...(question.reason !== undefined && { reason: question.reason }),
      ...(look && { gate: look }),
      ...(project?.spec.rollout.unit !== undefined && { unit: true }),
      allowUnverified: stages.find((stage) => stage.kind === 'approval')?.allowUnverified ?? embedded,
      was,
    };
    const claimed = await createRouteStage(context).routeStage(
      rollout,
      0,
      {
        now,
        by: opens.by,
        because: question.reason ?? `rollout of version ${question.version} begins: ${answer.because}${left}`,
        ...(look && { look }),
        claim: true,
      },
      { workflowId: opens.workflowId, runId: opens.runId, step: 'claim' },
    );
    return { ...plan, line: `${plan.line}${left}`, opened: { rollout, claimed } };
  },
});

const approvalLeftOut = (stages: readonly Stage[], own: readonly Stage[]): boolean =>
  own.some(({ kind }) => kind === 'approval') && !stages.some(({ kind }) => kind === 'approval');

/**
 * Lets a model go that an ended rollout holds still, whose version serves: it was terminated in its bake, and nobody has
 * watched it to the end. Undefined where nothing holds it, or what does runs.
 */
async function releaseEnded(
  context: Context,
  head: Revision,
  { workflowId, runId, by }: NonNullable<RolloutQuestion['opens']>,
): Promise<string | undefined> {
  const cause = { workflowId, runId, step: 'release' };
  const may = await mayClaim(context, head, cause);
  if (head.serving.holder === undefined || 'refused' in may) return undefined;
  const { holder: _, ...serving } = head.serving;
  const because = `version ${head.serving.champion} serves without having finished its bake: ${head.serving.holder} was ended in it`;
  const appended = await context.stores.serving.append({
    ...may,
    was: head.n,
    model: head.model,
    serving,
    by,
    because,
    cause,
  });
  return appended.ok ? because : undefined;
}

/** @throws {UserError} where a door is asked for stages that it does not open */
function stagesOf(question: RolloutQuestion, own: Stage[]): Stage[] {
  if (question.door === 'shadowTrial') {
    const shadow = own.find((stage) => stage.kind === 'shadow');
    return [parsed(ShadowStage, { ...shadow, ...question.shadow, kind: 'shadow' })];
  }
  if (question.door !== 'canaryRollout') return question.stages ?? own;
  const stages = question.stages ?? own.filter(({ kind }) => kind === 'canary' || kind === 'bake');
  const other = stages.find(({ kind }) => kind !== 'canary' && kind !== 'bake');
  if (other)
    throw new UserError(
      'StagesDoNotFit',
      `canaryRollout passes canary stages and a bake, no ${other.kind} stage: start promotion for that`,
    );
  return stages;
}

function parsed<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new UserError('StagesDoNotFit', `this stage cannot be passed:\n${z.prettifyError(result.error)}`);
}

/**
 * Makes a version the champion, by one entry of the serving log that follows the revision the rollout was planned on.
 * Safe to repeat: the same cause is one entry, even where others have followed it.
 */
export const createServe = (context: Context) => ({
  async serve(
    to: { model: string; version: number; by: string; because: string; was: number; champion?: number; look?: string },
    cause: Cause,
  ): Promise<{ ok: true; revision: number } | { ok: false; because: string }> {
    const { model, version, by, because, was, champion, look } = to;
    const { serving: log } = context.stores;
    const serving = { champion: version, ...(champion !== undefined && { previous: champion }), shadows: [] };
    const may = await mayClaim(context, await log.current(model), cause);
    const appended = await log.append({
      ...('takeFrom' in may && may),
      was,
      model,
      serving,
      by,
      because,
      ...(look && { look }),
      cause,
    });
    if (appended.ok) return { ok: true, revision: appended.n };
    const { head } = appended;
    if (appended.why === 'held' && 'refused' in may) return { ok: false, because: may.refused };
    const why =
      appended.why === 'held'
        ? `${head.serving.holder} holds the model`
        : `revision ${head.n} by ${head.by} came first`;
    return { ok: false, because: `${why} (${head.because})` };
  },
});

/** Puts an earlier version back. The same function as the API's and the CLI's; safe to repeat by its cause. */
export const createRollBack = ({ stores }: Context) => ({
  async rollBack({ model, to, by, reason }: RollbackInput, cause: Cause): Promise<RollbackResult> {
    return rollBackInLog(stores.serving, model, to, by, reason, cause);
  },
});
