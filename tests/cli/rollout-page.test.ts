import { afterEach, expect, it, vi } from 'vitest';
import { createClient } from '../../api/client.ts';
import { sayRollout } from '../../cli/rollout.ts';
import { Stages, type RolloutStatus } from '../../schemas/index.ts';

afterEach(() => vi.restoreAllMocks());

/** The marks before each stage of a rollout in such a state. */
async function marks(status: Partial<RolloutStatus>): Promise<string[]> {
  let out = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += text), true));
  const stages = Stages.parse([{ kind: 'shadow' }, { kind: 'approval' }, { kind: 'bake' }]);
  await sayRollout(createClient('http://nobody'), 'churn', {
    workflowId: 'rollout-churn',
    runId: 'r',
    kind: 'promotion',
    state: 'running',
    says: 'it is so',
    status: {
      model: 'churn',
      version: 2,
      stages,
      at: 1,
      state: 'running',
      votes: [],
      refused: [],
      lines: [],
      ...status,
    },
  });
  return [...out.matchAll(/^(.) +\d (?:shadow|approval|bake) /gm)].map(([, mark]) => mark!);
}

it.each<[string, Partial<RolloutStatus>, string[]]>([
  ['is planned', { at: -1, state: 'planning' }, [' ', ' ', ' ']],
  ['is in its second stage', { at: 1 }, ['✓', '→', ' ']],
  ['passed them all', { at: 3, state: 'ended', outcome: 'promoted' }, ['✓', '✓', '✓']],
  ['ended otherwise in its last', { at: 2, state: 'ended', outcome: 'rolled back' }, ['✓', '✓', '✗']],
  ['failed in its second', { at: 1, state: 'ended' }, ['✓', '·', ' ']],
])('a rollout that %s', async (_, status, shown) => {
  expect(await marks(status)).toEqual(shown);
});
