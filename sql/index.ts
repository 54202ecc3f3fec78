/** DuckDB, and the SQL that we write ourselves. It reads the files it is given, and nothing else; what a count means is decided in policies. */
export { openDatabase, type Database, type DatabaseOptions } from './database.ts';
export { describeFile, type DescribedFile } from './describe-file.ts';
export { openSources, checkSourceColumns, type SourceData } from './sources.ts';
export { measureExpectations } from './measure-expectations.ts';
export { findLabels, readFoundLabels, writeFoundLabels, type FoundLabel, type ImportOptions } from './import-labels.ts';
export { sealRows, type SealOptions } from './seal-rows.ts';
export { readRows } from './read-rows.ts';
export { formatOf, FORMATS, type FileFormat, type SourceFile } from './format.ts';
export {
  compactLog,
  createLogViews,
  type CompactedModel,
  type LogCounts,
  type LogFilePaths,
} from './prediction-log.ts';
export {
  findRequest,
  readAnswers,
  readOutcome,
  readShadowScores,
  type Outcome,
  type Sighting,
} from './request-records.ts';
export { countOutcomes, createOutcomes, type LabelTerms, type OutcomeCounts } from './outcomes.ts';
export { beginOf, blockOf, measureTrial, type TrialSums, type TrialTerms } from './trial-evidence.ts';
export { measureLive, scoreHistogram } from './live-evidence.ts';
export {
  addScores,
  findUnscored,
  openScoreAppender,
  readUnscored,
  TRIAL_SCORES,
  writeScores,
  type UnscoredRows,
} from './trial-scores.ts';
export { createSealedOutcomes, type SealedOutcome } from './sealed-outcomes.ts';
