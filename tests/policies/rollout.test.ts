import { describe, expect, it } from 'vitest';
import { mayRollOut, rolloutContradictions, whyNotComparable } from '../../policies/index.ts';
import { ModelSpec, Stages, type ModelVersion } from '../../schemas/index.ts';
import * as examples from '../bucket/examples.ts';

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
  it('quotes the reason of a first version', () =>
    expect(ask({ reason: 'launch' })).toEqual({ says: 'serve', because: 'launch' }));
  it('refuses force beside stages that are given; those of model.yaml it leaves out', () => {
    const forced = { stages, champion: 1, force: true, reason: 'incident 7' };
    expect(ask({ ...forced, given: true })).toMatchObject({ says: 'refused', type: 'StagesDoNotFit' });
    expect(ask({ ...forced, stages: [], given: true })).toMatchObject({ says: 'serve' });
    expect(ask({ ...forced, contradictions: ['stages.0.kind: no'] })).toMatchObject({ says: 'serve' });
  });
  it('advises no force where a door takes none', () => {
    const because = expect.not.stringContaining('force') as string;
    expect(ask({ door: 'canaryRollout', champion: 1 })).toMatchObject({ type: 'NeedsStages', because });
  });
});

describe('what stages ask and is not there', () => {
  const version = (n: number, o: Partial<ModelVersion> = {}): ModelVersion => ({
    ...examples.version(`run-${n}`),
    n,
    ...o,
  });
  const spec = ModelSpec.parse({ ...examples.spec, label: {} });
  const found = (list: object[], o: Partial<Parameters<typeof rolloutContradictions>[0]> = {}) =>
    rolloutContradictions({ spec, stages: Stages.parse(list), challenger: version(2), champion: version(1), ...o });

  it('is nothing for stages that fit, whatever is known', () => {
    expect(found([{ kind: 'shadow' }, { kind: 'canary', weight: 0.1 }])).toEqual([]);
    expect(found([{ kind: 'shadow' }], { spec: undefined, champion: undefined })).toEqual([]);
    expect(found([{ kind: 'shadow', loss: 'brier' }], { champion: version(2) })).toEqual([]);
  });
  it('names a loss of another task, with its place', () =>
    expect(found([{ kind: 'shadow', loss: 'squaredError' }])).toEqual([
      expect.stringMatching(/^stages\.0\.loss: squaredError is no loss of a binary model/),
    ]));
  it('names what the challenger has learnt from', () => {
    expect(found([{ kind: 'shadow', from: '1999-01-01' }])).toEqual([
      expect.stringMatching(/^stages\.0\.from: it is 1999-01-01, and version 2 has seen labels until 2/),
    ]);
    expect(found([{ kind: 'shadow', from: '2100-01-01' }])).toEqual([]);
  });
  it('counts the looks of a trial by the clock, and not by the time of the log', () => {
    const often = [{ kind: 'shadow', lookEvery: '1 hour', maxDuration: '13 days' }];
    expect(found(often)).toEqual([expect.stringContaining('312 looks, and at most 300 are made')]);
    const serving = { unitPii: false, entityPii: false, allowEventTime: true };
    expect(found(often, { challenger: version(2, { serving }) })).toEqual([]);
    expect(found(often, { champion: version(1, { serving }) })).toEqual([]);
  });
  it('names what no request can have, for the champion does not take it', () => {
    const { inputs } = version(1);
    const more = (optional: boolean) =>
      version(2, { inputs: { ...inputs, score: { type: 'number', optional } as never } });
    const says = /^stages: version 2 needs score, no input of version 1: no request has it as one/;
    for (const stage of [{ kind: 'shadow' }, { kind: 'canary', weight: 0.1 }, { kind: 'bake' }])
      expect(found([stage], { challenger: more(false) })).toEqual([expect.stringMatching(says)]);
    expect(found([{ kind: 'bake' }], { challenger: more(true) })).toEqual([]);
    expect(found([{ kind: 'bake' }], { challenger: more(false), champion: undefined })).toEqual([]);
    // By force it serves, and everybody's requests change at once.
    expect(found([], { challenger: more(false) })).toEqual([]);
  });
  it('is a pair that cannot be held against each other: another task, or personal inputs hashed otherwise', () => {
    expect(found([{ kind: 'shadow' }], { champion: version(1, { task: 'multiclass' }) })).toEqual([
      expect.stringMatching(/^stages\.0\.kind: a shadow trial cannot .*answer different questions/),
    ]);
    const agent = { type: 'string', nullable: true } as const;
    const plain = version(1, { inputs: { agent } as never });
    const personal = (piiKey: string) =>
      version(2, {
        inputs: { agent: { ...agent, pii: true } } as never,
        serving: { unitPii: false, entityPii: false, allowEventTime: false, piiKey },
      });
    expect(whyNotComparable(plain, personal('a'))).toMatch(/^agent is personal to only one of/);
    expect(whyNotComparable(personal('a'), personal('b'))).toMatch(/hashed under different keys/);
    expect(whyNotComparable(personal('a'), personal('a'))).toBeUndefined();
  });
});
