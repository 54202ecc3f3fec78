import { judgeExpectation } from '../../policies/index.ts';
import { measureExpectations } from '../../sql/index.ts';
import { personalNames, type ExpectationResult } from '../../schemas/index.ts';
import type { Context } from '../context.ts';
import { readPlan, type PlanRef } from './plan.ts';
import { withSources, type DatasetRef } from './rows.ts';
import { writeObject } from './sealed.ts';

export interface Expected {
  passed: boolean;
  /** Object with every result. */
  results: string;
  reason?: string;
  line: string;
}

/** Holds the sources against model.yaml's expectations. Safe to repeat: it only reads pinned data. */
export const createCheckExpectations = (context: Context) => ({
  async checkExpectations(ref: PlanRef, datasets: DatasetRef[]): Promise<Expected> {
    const { spec } = await readPlan(context, ref);
    const counts = await withSources(context, datasets, (db) => measureExpectations(db, spec, personalNames(spec)));
    const results = counts.map((measured, i) => judgeExpectation(spec.expectations[i]!, measured));
    const failed = results.filter((result) => !result.passed);
    return {
      passed: failed.length === 0,
      results: await writeObject(context.stores, results),
      ...(failed.length > 0 && { reason: failed.map(inWords).join('\n') }),
      line:
        failed.length === 0
          ? `${results.length} of ${results.length} hold`
          : `${failed.length} of ${results.length} failed: ${failed.map((f) => f.expectation).join('; ')}`,
    };
  },
});

function inWords(result: ExpectationResult): string {
  const examples = result.examples.map((row) => JSON.stringify(row)).join(' ');
  return `${result.expectation}: ${result.because}${examples ? `. For example ${examples}` : ''}`;
}
