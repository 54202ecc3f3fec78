import { describe, expect, it } from 'vitest';
import { mayRollOut } from '../../policies/index.ts';

const ask = (over: Partial<Parameters<typeof mayRollOut>[0]> = {}) =>
  mayRollOut({ model: 'm', version: 2, stages: [], champion: undefined, force: false, reason: undefined, ...over });

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
  it('refuses a stage that is not built, by name', () =>
    expect(ask({ stages: [{ kind: 'shadow' }] })).toMatchObject({
      says: 'refused',
      type: 'StageNotBuilt',
      because: expect.stringContaining('shadow') as string,
    }));
  it('does not serve again what serves', () => expect(ask({ champion: 2 })).toMatchObject({ says: 'serves-already' }));
});
