import type { Command } from 'commander';
import { command, setting, type CommonOptions } from '../command.ts';
import { apiUrl, whoami } from '../environment.ts';
import { paint, say, sayJson } from '../output.ts';

interface SteerOptions extends CommonOptions {
  reason: string;
  look?: string;
}

const WORDS = {
  approve:
    'Approve the look that the rollout of a model asks about; with an API key of scope approve, it counts as yours.',
  reject: 'Reject it: the rollout ends, and what it routed is undone.',
  pause: 'Let a rollout not move forward; looks go on, and harm is still undone.',
  resume: 'Let it go on.',
  advance: 'Send it to its next stage without waiting for this one.',
} as const;
const REASONS = {
  approve: 'better on every slice that matters to us',
  reject: 'the slice of groups is worse',
  pause: 'the bookings team is on holiday',
  resume: 'they are back',
  advance: 'ten minutes are enough at night',
};

/** approve, reject, pause, resume, advance, change-plan. */
export const steerCommands = (): Command[] => [
  ...(Object.keys(WORDS) as (keyof typeof WORDS)[]).map(steerCommand),
  changePlanCommand(),
];

const changePlanCommand = (): Command =>
  command(
    'change-plan',
    'Change the plan of an open shadow stage from its next look on. Who did, why and what it was before stay in the plan.',
    'gauntlet change-plan hotel-cancellations --set maxUnseen=0.3 --reason "half a year ahead is rare in winter"',
  )
    .argument('<model>')
    .requiredOption(
      '--set <field=value>',
      'a field of the shadow stage, as in model.yaml; may be repeated',
      setting('maxUnseen=0.3'),
    )
    .requiredOption('--reason <text>', 'why, for the record')
    .action(async (model: string, o: CommonOptions & { reason: string; set: Record<string, unknown> }) => {
      const { createClient } = await import('../../api/client.ts');
      const client = createClient(apiUrl(o.api));
      // The API says what of it is no field of a shadow stage.
      const steered = await client.changePlan(model, { by: whoami(), reason: o.reason, stage: o.set });
      if (o.json) return sayJson(steered);
      say(`${paint('green', 'heard')} ${steered.says}`);
    });

function steerCommand(word: keyof typeof WORDS): Command {
  const made = command(word, WORDS[word], `gauntlet ${word} hotel-cancellations --reason "${REASONS[word]}"`)
    .argument('<model>')
    .requiredOption('--reason <text>', 'why, for the record');
  if (word === 'approve' || word === 'reject')
    made.option('--look <look>', 'key of the look, or 8 digits of its hash: refused if another is asked about');
  return made.action(async (model: string, o: SteerOptions) => {
    const { createClient } = await import('../../api/client.ts');
    const client = createClient(apiUrl(o.api));
    const said = { by: whoami(), reason: o.reason };
    const steered =
      word === 'approve' || word === 'reject'
        ? await client[word](model, { ...said, ...(o.look !== undefined && { look: o.look }) })
        : await client[word](model, said);
    if (o.json) return sayJson(steered);
    say(`${paint('green', 'heard')} ${steered.says}`);
  });
}
