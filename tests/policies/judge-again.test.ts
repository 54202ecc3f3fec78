import { describe, expect, it } from 'vitest';
import { replan } from '../../policies/index.ts';
import { ApprovalStage, BakeStage, CanaryStage, ShadowStage, type Plan } from '../../schemas/index.ts';

const shadow = (more: object = {}) => ShadowStage.parse({ kind: 'shadow', ...more });
const canary = (more: object = {}) => CanaryStage.parse({ kind: 'canary', weight: 0.05, ...more });
const bake = (more: object = {}) => BakeStage.parse({ kind: 'bake', ...more });

const trial = (more: object = {}): Plan => ({
  kind: 'shadow',
  stage: shadow(more),
  champion: 1,
  challenger: 2,
  from: '2016-07-01T00:00:00Z',
  loss: 'logLoss',
  minimumEffect: 0.002,
  tightestAt: 20,
  strataEdgesDays: [],
  logTime: false,
  changed: [],
});

describe('limits may be others', () => {
  it('of a trial: what the new stage leaves open stays as it was pinned', () => {
    expect(replan(trial(), shadow({ alpha: 0.01, maxUnseen: 0.3 }))).toMatchObject({
      ok: true,
      plan: { stage: { alpha: 0.01, maxUnseen: 0.3 }, minimumEffect: 0.002, tightestAt: 20, loss: 'logLoss' },
    });
    expect(replan(trial(), shadow({ minimumEffect: 0.01, tightestAt: 30, from: '2016-07-01' }))).toMatchObject({
      plan: { minimumEffect: 0.01, tightestAt: 30 },
    });
  });

  it('of a plan', () => {
    const plan: Plan = { kind: 'plan', stage: shadow(), champion: 1, challenger: 2, loss: 'logLoss' };
    expect(replan(plan, shadow({ maxDuration: '52 weeks' }))).toMatchObject({
      plan: { stage: { maxDuration: '52 weeks' } },
    });
  });

  it('of a canary, which keeps its share of the rollout’s alpha', () => {
    const plan: Plan = { kind: 'canary', stage: canary({ alpha: 0.05 }), champion: 1, challenger: 2, alpha: 0.025 };
    expect(replan(plan, canary({ alpha: 0.01, maxErrorRate: 0.1 }))).toMatchObject({
      plan: { alpha: 0.005, stage: { maxErrorRate: 0.1 } },
    });
  });

  it('of a bake and of an approval', () => {
    expect(replan({ kind: 'bake', stage: bake(), champion: 2 }, bake({ minRequests: 9 }))).toMatchObject({
      plan: { stage: { minRequests: 9 } },
    });
    const approval: Plan = {
      kind: 'approval',
      stage: ApprovalStage.parse({ kind: 'approval' }),
      allowUnverified: true,
    };
    expect(replan(approval, ApprovalStage.parse({ kind: 'approval' }))).toMatchObject({
      plan: { allowUnverified: true },
    });
    expect(replan(approval, ApprovalStage.parse({ kind: 'approval', allowUnverified: false }))).toMatchObject({
      plan: { allowUnverified: false },
    });
  });
});

describe('what the sums were made by may not', () => {
  const slices = [{ column: 'hotel', is: 'City Hotel', margin: 0.01 }];
  const sloMs = { sloMs: 20 };
  it.each<[string, Plan, Parameters<typeof replan>[1]]>([
    ['loss', trial(), shadow({ loss: 'brier' })],
    ['block', trial(), shadow({ block: 'day' })],
    ['from', trial(), shadow({ from: '2016-08-01' })],
    ['slices', trial({ slices }), shadow()],
    ['slice', trial({ slices }), shadow({ slices: [{ ...slices[0], is: 'Resort Hotel' }] })],
    ['live', trial({ live: sloMs }), shadow({ live: {} })],
    ['weight', { kind: 'canary', stage: canary(), champion: 1, challenger: 2, alpha: 0.05 }, canary({ weight: 0.25 })],
    ['sloMs', { kind: 'canary', stage: canary(sloMs), champion: 1, challenger: 2, alpha: 0.05 }, canary()],
    ['sloMs of a bake', { kind: 'bake', stage: bake(), champion: 2 }, bake(sloMs)],
    ['another kind', trial(), bake()],
    ['plan', { kind: 'plan', stage: shadow(), champion: 1, challenger: 2, loss: 'logLoss' }, bake()],
    ['canary', { kind: 'canary', stage: canary(), champion: 1, challenger: 2, alpha: 0.05 }, bake()],
    ['bake', { kind: 'bake', stage: bake(), champion: 2 }, canary()],
    ['approval', { kind: 'approval', stage: ApprovalStage.parse({ kind: 'approval' }), allowUnverified: true }, bake()],
    ['gate', { kind: 'gate', metric: 'logLoss', gates: {}, hasShadowStage: true }, shadow()],
  ])('%s', (_, plan, stage) => {
    expect(replan(plan, stage)).toMatchSnapshot();
    expect(replan(plan, stage).ok).toBe(false);
  });

  it('a slice’s margin is a limit', () => {
    expect(replan(trial({ slices }), shadow({ slices: [{ ...slices[0], margin: 0.05 }] })).ok).toBe(true);
  });
});
