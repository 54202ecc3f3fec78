import { Command } from 'commander';
import { applyCommand } from './commands/apply.ts';
import { doctorCommand } from './commands/doctor.ts';
import { feedbackCommand } from './commands/feedback.ts';
import { historyCommand } from './commands/history.ts';
import { importLabelsCommand } from './commands/import-labels.ts';
import { modelsCommand } from './commands/models.ts';
import { predictCommand } from './commands/predict.ts';
import { promoteCommand } from './commands/promote.ts';
import { rollbackCommand } from './commands/rollback.ts';
import { runsCommand } from './commands/runs.ts';
import { statusCommand } from './commands/status.ts';
import { trainCommand } from './commands/train.ts';
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
  gauntlet apply examples/hotel-cancellations
  gauntlet train hotel-cancellations --promote
  gauntlet predict hotel-cancellations --example

Environment: GAUNTLET_API, GAUNTLET_HOME, GAUNTLET_BUCKET, GAUNTLET_MODELS, PORT, GAUNTLET_DEBUG=1 for traces.
${EXIT_CODES_HELP}`,
    );
  const commands = [
    upCommand(),
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
    rollbackCommand(),
    doctorCommand(),
  ];
  for (const command of commands)
    program.addCommand(
      command
        .copyInheritedSettings(program)
        .showHelpAfterError(`(gauntlet ${command.name()} --help shows its options, with an example)`),
    );
  return program;
}
