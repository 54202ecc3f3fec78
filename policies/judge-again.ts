/**
 * May kept evidence be judged under another plan?
 *
 * Limits may be others: alpha, minimum effect, margins, least counts, longest times. What says which rows were counted and
 * how may not, because the sums were made by it: the kind, the loss, the block, where the evidence begins, which slices
 * there are, what counts as slow, and how traffic was split. A guardrail that was not measured then has no data.
 */
import type { BakeStage, CanaryStage, Plan, ShadowPlan, ShadowStage, Stage } from '../schemas/index.ts';

export type Replanned = { ok: true; plan: Plan } | { ok: false; because: string };

/** The plan of a look with another stage in it. */
export function replan(plan: Plan, stage: Stage): Replanned {
  switch (plan.kind) {
    case 'gate':
      return refused('a gate is judged by evaluation.gates of model.yaml, and not by a stage of a rollout');
    case 'plan':
      return stage.kind === 'shadow' ? { ok: true, plan: { ...plan, stage } } : otherKind('shadow', stage);
    case 'shadow':
      return stage.kind === 'shadow' ? shadow(plan, stage) : otherKind(plan.kind, stage);
    case 'canary': {
      if (stage.kind !== 'canary') return otherKind(plan.kind, stage);
      // Of the whole rollout's alpha this stage has its share, whatever that alpha is.
      const share = plan.alpha / plan.stage.alpha;
      return (
        counted(plan.stage, stage, ['weight', 'sloMs']) ?? {
          ok: true,
          plan: { ...plan, stage, alpha: share * stage.alpha },
        }
      );
    }
    case 'bake':
      if (stage.kind !== 'bake') return otherKind(plan.kind, stage);
      return counted(plan.stage, stage, ['sloMs']) ?? { ok: true, plan: { ...plan, stage } };
    case 'approval':
      if (stage.kind !== 'approval') return otherKind(plan.kind, stage);
      return { ok: true, plan: { ...plan, stage, allowUnverified: stage.allowUnverified ?? plan.allowUnverified } };
  }
}

function shadow(plan: ShadowPlan, stage: ShadowStage): Replanned {
  const loss = stage.loss ?? plan.loss;
  if (loss !== plan.loss) return kept('loss', plan.loss, loss);
  if (stage.block !== plan.stage.block) return kept('block', plan.stage.block, stage.block);
  if (stage.from !== undefined && Date.parse(stage.from) !== Date.parse(plan.from))
    return kept('from', plan.from, stage.from);
  const slices = (one: ShadowStage) =>
    one.slices.map(({ column, is }) => `${column} = ${JSON.stringify(is)}`).join(', ');
  if (slices(stage) !== slices(plan.stage)) return kept('slices', slices(plan.stage), slices(stage));
  if (stage.live?.sloMs !== plan.stage.live?.sloMs)
    return kept('live.sloMs', plan.stage.live?.sloMs, stage.live?.sloMs);
  return {
    ok: true,
    plan: {
      ...plan,
      stage,
      minimumEffect: stage.minimumEffect ?? plan.minimumEffect,
      tightestAt: stage.tightestAt ?? plan.tightestAt,
    },
  };
}

function counted<S extends CanaryStage | BakeStage>(
  was: S,
  is: S,
  fields: (keyof S & string)[],
): Replanned | undefined {
  const field = fields.find((name) => was[name] !== is[name]);
  return field === undefined ? undefined : kept(field, was[field], is[field]);
}

const refused = (because: string): Replanned => ({ ok: false, because });
const otherKind = (kind: string, stage: Stage): Replanned =>
  refused(`the stage of the look is ${kind}, and the new one is ${stage.kind}`);
const kept = (field: string, was: unknown, is: unknown): Replanned =>
  refused(
    `the evidence was counted with ${field} ${inWords(was)}, and with ${inWords(is)} other rows would count: that needs a new look, not a new judgement`,
  );
const inWords = (value: unknown): string =>
  value === undefined || value === '' ? 'none' : typeof value === 'string' ? value : JSON.stringify(value);
