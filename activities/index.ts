/** One contact with the world each, safe to repeat: read, compute, write. Looks are judged here. No decision rule lives here. */
import type { Context } from './context.ts';
import { guarded } from './guard.ts';
import { createCloseHour, createPlanHousekeeping } from './housekeeping/close-hour.ts';
import { createApplyRetention } from './housekeeping/retention.ts';
import { createImportLabels } from './labels/import.ts';
import { createBacktest, createEvaluate, createLookAtGate } from './pipeline/evaluate.ts';
import { createCheckExpectations } from './pipeline/expectations.ts';
import { createPlanRun } from './pipeline/plan.ts';
import { createExportGraph, createForgetCheckpoints, createRecordRun, createRegister } from './pipeline/register.ts';
import { createIngest, createSealTrainingRows } from './pipeline/rows.ts';
import { createSplitTrainingRows } from './pipeline/split.ts';
export type { GivenWord } from './rollout/approve.ts';
import { createCheckVote, createCheckWord, createRecordApproval } from './rollout/approve.ts';
import { createCheckChange } from './rollout/check-change.ts';
import { createCheckUnits } from './rollout/check-units.ts';
import { createFinishRollout } from './rollout/finish.ts';
import { createLookAtTrial } from './rollout/look-at-trial.ts';
import { createPlanTrial } from './rollout/plan-trial.ts';
import { createRemind } from './rollout/remind.ts';
import { createPlanRollout, createRollBack, createServe } from './rollout/rollout.ts';
import { createRouteStage } from './rollout/route.ts';
import { createPrepareTwins } from './rollout/twins.ts';
import { createWatch } from './rollout/watch.ts';
import { createFitBaseline, createFitHead, createTrain } from './training/fit.ts';

/** Activities of the pipeline worker: I/O and short computation. */
export function createPipelineActivities(context: Context) {
  return guarded({
    ...createPlanRun(context),
    ...createIngest(context),
    ...createCheckExpectations(context),
    ...createSealTrainingRows(context),
    ...createSplitTrainingRows(context),
    ...createFitHead(context),
    ...createEvaluate(context),
    ...createLookAtGate(context),
    ...createExportGraph(context),
    ...createBacktest(context),
    ...createRegister(context),
    ...createRecordRun(context),
    ...createForgetCheckpoints(context),
    ...createImportLabels(context),
    ...createPlanRollout(context),
    ...createServe(context),
    ...createRollBack(context),
    ...createCheckChange(context),
    ...createCheckUnits(context),
    ...createRouteStage(context),
    ...createFinishRollout(context),
    ...createCheckVote(context),
    ...createCheckWord(context),
    ...createRecordApproval(context),
    ...createRemind(context),
    ...createPlanTrial(context),
    ...createLookAtTrial(context),
    ...createWatch(context),
    ...createPlanHousekeeping(context),
    ...createCloseHour(context),
    ...createApplyRetention(context),
  });
}

/** Activities of the training worker: long computation in threads. */
export function createTrainingActivities(context: Context) {
  return guarded({ ...createTrain(context), ...createFitBaseline(context), ...createPrepareTwins(context) });
}

export type PipelineActivities = ReturnType<typeof createPipelineActivities>;
export type TrainingActivities = ReturnType<typeof createTrainingActivities>;
export type { Context } from './context.ts';
