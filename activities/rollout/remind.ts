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
export const createRemind = ({ stores, url, env = process.env }: Context) => ({
  async remind(
    rollout: OpenRollout,
    o: { webhook?: string; look?: LookRef; text: string },
  ): Promise<{ overtaken?: string }> {
    const { model, version, workflowId, runId } = rollout;
    const overtaken = whyOvertaken(await stores.serving.current(model), rollout);
    if (overtaken !== undefined) return { overtaken };
    if (o.webhook === undefined) return {};
    const webhook = addressOf(o.webhook, env);
    const link = url && `${url}/v1/models/${model}/rollout`;
    const body: Reminder = {
      text: [
        o.text,
        ...(link ? [link] : []),
        `gauntlet approve ${model}${o.look ? ` --look ${o.look.sha256.slice(0, 8)}` : ''} --reason "..."`,
      ].join('\n'),
      model,
      version,
      workflowId,
      runId,
      ...(o.look && { look: { key: o.look.key, sha256: o.look.sha256 } }),
      ...(link && { link }),
    };
    const response = await fetch(webhook, {
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

/**
 * Where a webhook is. Whoever may read what runs may read a stage, and the addresses of Slack and its like are secrets: so
 * they may stand in the worker's environment, and no error shows them.
 */
function addressOf(webhook: string, env: Readonly<Record<string, string | undefined>>): string {
  if (!webhook.startsWith('$')) return webhook;
  const address = env[webhook.slice(1)] ?? '';
  if (/^https?:\/\/./.test(address) && URL.canParse(address)) return address;
  throw new UserError(
    'WebhookUnknown',
    `the webhook of the approval stage is ${webhook}, and the worker's environment variable ${webhook.slice(1)} ${address === '' ? 'is not set' : 'is no http or https URL'}: set it and start the worker again`,
  );
}
