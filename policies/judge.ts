/**
 * What a plan says to evidence: one question for each kind of look.
 *
 * - The same plan and evidence are always judged the same: no clock, no store, no chance.
 * - Evidence of another kind than the plan is no data, and so is a figure that is not a number.
 * - No data never passes.
 */
import type { Evidence, Plan } from '../schemas/index.ts';
import { judgeApproval } from './approval.ts';
import { judgeBake } from './bake.ts';
import { judgeCanary } from './canary.ts';
import { judgeGate } from './gate.ts';
import type { Judgement } from './judgement.ts';
import { judgePlanning } from './planning.ts';
import { judgeShadow } from './shadow.ts';

export function judge(plan: Plan, evidence: Evidence): Judgement {
  if (plan.kind === 'gate' && evidence.kind === 'gate') return { ...judgeGate(plan, evidence), figures: [] };
  if (plan.kind === 'plan' && evidence.kind === 'plan') return judgePlanning(plan, evidence);
  if (plan.kind === 'shadow' && evidence.kind === 'shadow') return judgeShadow(plan, evidence);
  if (plan.kind === 'canary' && evidence.kind === 'canary') return judgeCanary(plan, evidence);
  if (plan.kind === 'bake' && evidence.kind === 'bake') return judgeBake(plan, evidence);
  if (plan.kind === 'approval' && evidence.kind === 'approval') return judgeApproval(plan, evidence);
  const because = `evidence of a ${evidence.kind} look says nothing to a plan of kind ${plan.kind}`;
  return {
    rules: [{ rule: 'kind', says: 'no-data', because }],
    figures: [],
    verdict: { says: 'no-data', because: `kind: ${because}`, limitedBy: 'kind' },
  };
}
