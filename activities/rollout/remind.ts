import { UserError, type LookRef, type OpenRollout } from '../../schemas/index.ts';
import type { Context } from '../context.ts';
import { whyOvertaken } from './hold.ts';

/** What a webhook gets. `text` is what Slack and its like show. */
export interface Reminder {
  text: string;
  model: string;
  version: number;
  workflowId: string;
  runId: string;
  look?: { key: string; sha256: string };
  link?: string;
}

/**
 * Tells people that a rollout waits for their word, where a webhook is given, and tells the rollout whether there still is
 * something to wait for. Repeated, people are told twice: a reminder more does less harm than one that never came.
 */
export const createRemind = ({ stores, url }: Context) => ({
  async remind(
    rollout: OpenRollout,
    o: { webhook?: string; look?: LookRef; text: string },
  ): Promise<{ overtaken?: string }> {
    const { model, version, workflowId, runId } = rollout;
    const overtaken = whyOvertaken(await stores.serving.current(model), rollout);
    if (overtaken !== undefined) return { overtaken };
    if (o.webhook === undefined) return {};
    const link = url && `${url}/v1/models/${model}/rollout`;
    const body: Reminder = {
      text: link ? `${o.text}\n${link}` : o.text,
      model,
      version,
      workflowId,
      runId,
      ...(o.look && { look: { key: o.look.key, sha256: o.look.sha256 } }),
      ...(link && { link }),
    };
    const response = await fetch(o.webhook, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10_000), // a webhook answers, or is asked again
    });
    await response.body?.cancel();
    if (response.ok) return {};
    const answer = `the webhook of the approval stage answered ${response.status}`;
    if (response.status >= 400 && response.status < 500 && response.status !== 429)
      throw new UserError('WebhookRefused', `${answer}: correct rollout.stages of model.yaml for the next rollout`);
    throw new Error(answer);
  },
});
