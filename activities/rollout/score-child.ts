/** Scores with one graph for its parent, which ends it when it takes too long. */
import type { FromChild, ToChild } from './child-scorer.ts';
import { scorerOf, type Scorer } from './scorer.ts';

let scorer: Promise<Scorer> | undefined;
const say = (message: FromChild): void => void process.send!(message);

process.on('message', (message: ToChild) => {
  void hear(message).catch((error: unknown) => say({ kind: 'failed', because: String(error) }));
});

async function hear(message: ToChild): Promise<void> {
  if (message.kind === 'open') {
    scorer = scorerOf(message);
    await scorer;
    say({ kind: 'opened' });
  } else {
    say({ kind: 'scored', scores: await (await scorer!).score(message.rows, message.predictedAt) });
  }
}
