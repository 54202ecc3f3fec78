import { describe, expect, it } from 'vitest';
import { mayRollOut } from '../../policies/index.ts';
import { Stages } from '../../schemas/index.ts';

const ask = (over: Partial<Parameters<typeof mayRollOut>[0]> = {}) =>
  mayRollOut({
    model: 'm',
    version: 2,
    stages: [],
    contradictions: [],
    champion: undefined,
    force: false,
    reason: undefined,
    ...over,
  });

const stages = Stages.parse([{ kind: 'shadow' }, { kind: 'approval' }, { kind: 'canary', weight: 0.05 }]);

describe('mayRollOut', () => {
  it('serves a first version at once', () => expect(ask()).toMatchObject({ says: 'serve' }));
  it('asks for stages where there is a champion', () =>
    expect(ask({ champion: 1 })).toMatchObject({ says: 'refused', type: 'NeedsStages' }));
  it('serves by force with a reason, and quotes it', () =>
    expect(ask({ champion: 1, force: true, reason: 'incident 7' })).toEqual({
      says: 'serve',
      because: 'forced: incident 7',
    }));
  it('asks for a reason where it is forced', () =>
    expect(ask({ champion: 1, force: true })).toMatchObject({ says: 'refused', type: 'NeedsReason' }));
  it('refuses stages that do not fit the model, saying which', () =>
    expect(ask({ champion: 1, contradictions: ['stages.0.kind: no'] })).toMatchObject({
      says: 'refused',
      type: 'StagesDoNotFit',
      because: 'stages.0.kind: no',
    }));
  it('goes through its stages, by name', () =>
    expect(ask({ stages, champion: 1 })).toEqual({ says: 'stages', because: 'through shadow, approval, canary' }));
  it('serves a first version at once whatever its stages: there is nothing to hold it against', () =>
    expect(ask({ stages })).toMatchObject({ says: 'serve' }));
  it('leaves the stages out by force', () =>
    expect(ask({ stages, champion: 1, force: true, reason: 'incident 7' })).toMatchObject({ says: 'serve' }));
  it('refuses a shadow trial or a canary rollout alone of what serves, or where nothing does', () => {
    for (const door of ['shadowTrial', 'canaryRollout'] as const) {
      expect(ask({ door, stages, champion: 2 })).toMatchObject({ says: 'refused', type: 'ServesAlready' });
      expect(ask({ door, stages })).toMatchObject({ says: 'refused', type: 'NeedsChampion' });
      expect(ask({ door, stages, champion: 1 })).toMatchObject({ says: 'stages' });
    }
  });
  it('does not serve again what serves', () => expect(ask({ champion: 2 })).toMatchObject({ says: 'serves-already' }));
});
