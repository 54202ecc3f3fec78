import { expect, it } from 'vitest';
import { ApiProblem, createClient } from '../../api/client.ts';
import { followTraining } from '../../cli/follow.ts';

const training = {
  workflowId: 'train-churn',
  runId: 'r',
  status: 'completed',
  startedAt: '2026-11-24T12:00:00Z',
  activities: [],
};

/** A client whose API gives these answers, one after the other. */
function clientOf(answers: ('refused' | [status: number, body: unknown])[]) {
  return createClient('http://api', {
    fetch: () => {
      const answer = answers.shift()!;
      if (answer === 'refused') return Promise.reject(new Error('ECONNREFUSED'));
      return Promise.resolve(Response.json(answer[1], { status: answer[0] }));
    },
  });
}

it('a Temporal or an API that does not answer for a while is waited out', async () => {
  const client = clientOf(['refused', [503, { title: 'Temporal does not answer', status: 503 }], [200, training]]);
  expect(await followTraining(client, 'train-churn', () => {})).toEqual(training);
});

it('is left when it is told to', async () => {
  const stop = new AbortController();
  const client = clientOf([[200, { ...training, status: 'running' }]]);
  const following = followTraining(client, 'train-churn', () => {}, stop.signal);
  stop.abort();
  await expect(following).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
});

it('a refusal is not', async () => {
  const client = clientOf([[404, { title: 'No such workflow', status: 404 }]]);
  await expect(followTraining(client, 'train-churn', () => {})).rejects.toThrow(ApiProblem);
});
