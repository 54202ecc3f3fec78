import type { LogLag } from '../bucket/index.ts';
import type { Check } from './control/shapes.ts';
import type { ServingStatus } from './serving.ts';

/** What one replica has loaded, and whether its log gets away: for `status` and the doctor. */
export function replicaChecks({ models, challengers, bucketFailure }: ServingStatus, lag: LogLag): Check[] {
  const checks = models.map(({ model, serving, failures }): Check => {
    const check = `replica ${model}`;
    if (failures.length > 0) {
      const goesOn = serving ? `; version ${serving.version} goes on serving` : '';
      const found = failures
        .map(({ version, because }) => `version ${version} could not be loaded: ${because}`)
        .join('; ');
      return {
        check,
        says: 'fail',
        found: found + goesOn,
        next: `npx gauntlet rollback ${model} --reason 'it cannot be loaded'`,
      };
    }
    return serving
      ? { check, says: 'ok', found: `version ${serving.version} is loaded and warm` }
      : { check, says: 'warn', found: 'it is being loaded', next: 'GET /ready says when it is' };
  });
  for (const { model, version, as, loaded, breaker, because } of challengers) {
    const check = `replica ${model} ${as}`;
    if (because !== undefined)
      checks.push({ check, says: 'fail', found: `version ${version} could not be loaded: ${because}` });
    else if (breaker !== 'closed')
      checks.push({
        check,
        says: 'fail',
        found: `version ${version} keeps failing: the champion answers in its place`,
        next: 'gauntlet_canary_failures_total of /metrics says how it fails',
      });
    else if (!loaded) checks.push({ check, says: 'warn', found: `version ${version} is being loaded` });
    else checks.push({ check, says: 'ok', found: `version ${version} is loaded and warm` });
  }
  if (bucketFailure)
    checks.push({
      check: 'serving log',
      says: 'fail',
      found: `not read since ${bucketFailure.since}: ${bucketFailure.because}`,
      next: 'what is loaded goes on serving; a rollback is not followed until it can be read',
    });
  if (lag.failing !== undefined)
    checks.push({
      check: 'prediction log',
      says: 'fail',
      found: `${lag.rows} records wait here: ${lag.failing}`,
      next: 'mend the bucket or the disk; what waits goes out by itself then',
    });
  return checks;
}
