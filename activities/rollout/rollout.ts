import { rollBack as rollBackInLog } from '../../bucket/index.ts';
import { mayRollOut, type RolloutAnswer } from '../../policies/index.ts';
import {
  stageContradictions,
  UserError,
  type Cause,
  type RollbackInput,
  type RollbackResult,
  type Stage,
} from '../../schemas/index.ts';
import type { Context } from '../context.ts';

export interface RolloutQuestion {
  model: string;
  version: number;
  /** Absent: the stages of the version's own model.yaml. */
  stages?: Stage[];
  force?: boolean;
  reason?: string;
}

/** May this version go out the way it was asked to? Safe to repeat: it only reads. */
export const createPlanRollout = ({ stores }: Context) => ({
  async planRollout(
    question: RolloutQuestion,
  ): Promise<RolloutAnswer & { was: number; champion?: number; look?: string; line: string }> {
    const { model } = question;
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
    const stages = question.stages ?? project?.spec.rollout.stages ?? [];
    const contradictions = project
      ? stageContradictions({ ...project.spec, rollout: { ...project.spec.rollout, stages } })
      : [];
    const answer = mayRollOut({
      model,
      version: question.version,
      stages,
      contradictions: contradictions.map(({ path, message }) => `stages.${path.join('.')}: ${message}`),
      champion,
      force: question.force ?? false,
      reason: question.reason,
    });
    return {
      ...answer,
      was: head?.n ?? 0,
      ...(look && { look }),
      ...(champion !== undefined && { champion }),
      line: answer.because,
    };
  },
});

/**
 * Makes a version the champion, by one entry of the serving log that follows the revision the rollout was planned on.
 * Safe to repeat: the same cause is one entry, even where others have followed it.
 */
export const createServe = ({ stores }: Context) => ({
  async serve(
    to: { model: string; version: number; by: string; because: string; was: number; champion?: number; look?: string },
    cause: Cause,
  ): Promise<{ ok: true; revision: number } | { ok: false; because: string }> {
    const { model, version, by, because, was, champion, look } = to;
    const serving = { champion: version, ...(champion !== undefined && { previous: champion }), shadows: [] };
    const appended = await stores.serving.append({ was, model, serving, by, because, ...(look && { look }), cause });
    if (appended.ok) return { ok: true, revision: appended.n };
    const { head } = appended;
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
