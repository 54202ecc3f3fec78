import { Command } from 'commander';
import { applyCommand } from './commands/apply.ts';
import { demoCommand } from './commands/demo.ts';
import { doctorCommand } from './commands/doctor.ts';
import { feedbackCommand } from './commands/feedback.ts';
import { historyCommand } from './commands/history.ts';
import { importLabelsCommand } from './commands/import-labels.ts';
import { judgeCommand } from './commands/judge.ts';
import { keysCommand } from './commands/keys.ts';
import { looksCommand } from './commands/looks.ts';
import { modelsCommand } from './commands/models.ts';
import { predictCommand } from './commands/predict.ts';
import { promoteCommand } from './commands/promote.ts';
import { rollbackCommand } from './commands/rollback.ts';
import { rolloutCommand } from './commands/rollout.ts';
import { runsCommand } from './commands/runs.ts';
import { statusCommand } from './commands/status.ts';
import { steerCommands } from './commands/steer.ts';
import { trainCommand } from './commands/train.ts';
import { canaryCommand, trialCommand } from './commands/trial.ts';
import { upCommand } from './commands/up.ts';
import { whyCommand } from './commands/why.ts';
import { EXIT_CODES_HELP } from './exit-codes.ts';

/** The whole command. Commands import what is heavy only when they run, so that --help is quick. */
export function createProgram(): Command {
  const program = new Command('gauntlet')
    .description('Takes models from raw data to production and back, on Temporal and one bucket.')
    .showHelpAfterError('(gauntlet --help lists the commands)')
    .exitOverride()
    .addHelpText(
      'after',
      `
Begin with:
  gauntlet up                               Temporal, workers and API in one process
  gauntlet demo                             eight months of real bookings in a few minutes
  gauntlet apply examples/hotel-cancellations
  gauntlet train hotel-cancellations --promote
  gauntlet predict hotel-cancellations --example

Environment: GAUNTLET_API, GAUNTLET_API_KEY, GAUNTLET_HOME, GAUNTLET_BUCKET, GAUNTLET_MODELS, PORT, GAUNTLET_DEBUG=1 for traces.
${EXIT_CODES_HELP}`,
    );
  const commands = [
    upCommand(),
    demoCommand(),
    applyCommand(),
    trainCommand(),
    runsCommand(),
    modelsCommand(),
    statusCommand(),
    historyCommand(),
    whyCommand(),
    predictCommand(),
    feedbackCommand(),
    importLabelsCommand(),
    promoteCommand(),
    trialCommand(),
    canaryCommand(),
    rolloutCommand(),
    ...steerCommands(),
    rollbackCommand(),
    looksCommand(),
    judgeCommand(),
    keysCommand(),
    doctorCommand(),
  ];
  const settle = (command: Command, parent: Command, path: string): Command => {
    for (const sub of command.commands) settle(sub, program, `${path} ${sub.name()}`);
    return command
      .copyInheritedSettings(parent)
      .showHelpAfterError(`(${path} --help shows its options, with an example)`);
  };
  for (const command of commands) program.addCommand(settle(command, program, `gauntlet ${command.name()}`));
  return program;
}
