import { checkGraphSpec, requirePii } from '../../onnx/index.ts';
import {
  LabelSpec,
  ModelSpec,
  UserError,
  didYouMean,
  graphSpec,
  hashedNames,
  instantMs,
  type Backtest,
  type GraphSpec,
  type Issue,
} from '../../schemas/index.ts';
import type { Context } from '../context.ts';
import { expectedIn, readObject, writeObject } from './sealed.ts';

/** What a run is pinned to from its first step on: every later step gets this and nothing that can change. */
export interface PlanRef {
  model: string;
  run: string;
  /** Object with the model's description after overrides. */
  plan: string;
  project: { n: number; hash: string };
  asOf: string;
  /** When the run began: what had matured by then may be scored. */
  now: string;
  backtest?: Backtest;
  seed: number;
  /** Fit the recipe again on all matured rows after the gate passed. */
  refit: boolean;
  overrides: Record<string, unknown>;
}

export interface PlanQuestion {
  model: string;
  run: string;
  now: string;
  asOf?: string;
  backtest?: Backtest;
  overrides?: Record<string, unknown>;
}

/**
 * Pins the newest applied project, with the run's overrides.
 * Safe to repeat: if somebody applies in between, the repeated call may pin the newer project; only one answer counts.
 */
export const createPlanRun = ({ stores, pii }: Context) => ({
  async planRun(question: PlanQuestion): Promise<PlanRef & { line: string }> {
    const project = await stores.projects.newest(question.model);
    if (!project) {
      const known = await stores.projects.models();
      throw new UserError(
        'UnknownModel',
        `There is no model ${question.model}.${didYouMean(question.model, known)} ` +
          (known.length > 0 ? `Applied models: ${known.join(', ')}.` : 'No model project has been applied yet.') +
          ' A new model is made known with: npx gauntlet apply <folder>',
      );
    }
    const overrides = question.overrides ?? {};
    const spec = override(project.spec, overrides);
    if (question.backtest) spec.backtest = { ...spec.backtest, ...question.backtest };
    requirePii(spec, pii);
    const { backtest } = spec;
    const named = question.asOf ?? spec.split.asOf;
    const asOf = named === undefined ? question.now : new Date(instantMs(named)).toISOString();
    return {
      model: question.model,
      run: question.run,
      plan: await writeObject(stores, spec),
      project: { n: project.n, hash: project.hash },
      asOf,
      now: question.now,
      ...(backtest && { backtest }),
      seed: spec.training.seed,
      refit: spec.split.refit,
      overrides,
      line: `project ${project.n} (${project.hash.slice(0, 12)}), as of ${asOf.slice(0, 10)}, ${spec.training.algorithm}`,
    };
  },
});

/** The pinned description. */
export async function readPlan(context: Context, ref: PlanRef): Promise<{ spec: ModelSpec; graph: GraphSpec }> {
  const spec = ModelSpec.parse(await readObject(context.stores, ref.plan));
  return { spec, graph: graphSpec(spec) };
}

const FIXED = ['apiVersion', 'name', 'sources', 'rows'];

/** Sets dotted paths, such as {"training.maxDepth": 8}, and checks the whole again. */
function override(spec: ModelSpec, overrides: Record<string, unknown>): ModelSpec {
  const changed = structuredClone(spec) as unknown as Record<string, unknown>;
  // A maturesAt that follows from the window follows from the run's window.
  const { maturesAt } = LabelSpec.parse({ window: spec.label.window });
  if (maturesAt === spec.label.maturesAt) delete (changed['label'] as { maturesAt?: string }).maturesAt;
  for (const [path, value] of Object.entries(overrides)) {
    const steps = path.split('.');
    if (FIXED.includes(steps[0]!))
      throw new UserError(
        'BadOverride',
        `overrides: ${path} cannot be overridden for one run: change the model project and apply it again.`,
      );
    let place = changed;
    for (const [i, step] of steps.entries()) {
      if (step === '__proto__' || typeof place !== 'object' || place === null)
        throw new UserError(
          'BadOverride',
          `overrides: there is no ${path} in model.yaml. Expected a path such as training.maxDepth: correct it and start the run again.`,
        );
      if (i === steps.length - 1) place[step] = value;
      else place = (place[step] ??= {}) as Record<string, unknown>;
    }
  }
  const parsed = ModelSpec.safeParse(changed);
  if (!parsed.success) throw refused(parsed.error.issues.map((issue) => expectedIn(issue, changed)));
  const bared = [...hashedNames(spec)].filter((name) => !hashedNames(parsed.data).has(name));
  if (bared.length > 0)
    throw refused([
      `${bared.join(', ')}: found an override that would keep personal values as they are; expected none`,
    ]);
  const issues = checkGraphSpec(graphSpec(parsed.data));
  if (issues.length === 0) return parsed.data;
  throw refused(
    issues.map(({ at, found, expected }) => `${at}: found ${found}; expected ${expected}`),
    issues,
  );

  function refused(wrong: string[], at: Issue[] = []): UserError {
    return new UserError(
      'BadOverride',
      `The overrides ${JSON.stringify(overrides)} of this run do not fit the model.\n` +
        `${wrong.map((line) => `  ${line}`).join('\n')}\nCorrect them and start the run again.`,
      at,
    );
  }
}
