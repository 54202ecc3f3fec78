import { refOf, type Stores } from '../../bucket/index.ts';
import { judge, replan } from '../../policies/index.ts';
import { Stage, type Look } from '../../schemas/index.ts';
import { issuesOfZod, ProblemError } from '../problem.ts';
import type { JudgedAgain, LookDetail, LookPage, LookSummary } from './shapes.ts';

/** Newest first. @param o.before  only looks older than the one with this key */
export async function listLooks(
  stores: Stores,
  model: string,
  o: { kind?: Look['kind'] | undefined; before?: string | undefined; limit: number },
): Promise<LookPage> {
  const { kind, limit } = o;
  const looks: LookSummary[] = [];
  // Whether there are more is known by one beyond; keys end with the kind, but only records say what is in them.
  for (let before = o.before; ;) {
    const page = await stores.looks.list(model, { ...(before !== undefined && { before }), limit: limit + 1 });
    for (const { key, look } of page) {
      if (kind !== undefined && look.kind !== kind) continue;
      if (looks.length === limit) return { looks, next: looks.at(-1)!.key };
      looks.push(await summaryOf(stores, key, look));
    }
    if (page.length <= limit) return { looks };
    before = page.at(-1)!.key;
  }
}

async function summaryOf(stores: Stores, key: string, look: Look): Promise<LookSummary> {
  const { sha256 } = (await stores.looks.readWithHash(key))!;
  const { at, versions, rollout, run, previous } = look;
  return {
    ...refOf({ key, look, sha256 }),
    at,
    versions,
    ...(rollout && { rollout }),
    ...(run !== undefined && { run }),
    ...(previous !== undefined && { previous }),
  };
}

/** A look by its key (the last part is enough), or by the first 8 digits of its hash or more. */
export async function readLook(stores: Stores, model: string, named: string): Promise<LookDetail> {
  const name = /^\d{8}T\d{6}\.\d{3}Z-[a-z]+(\.json)?$/.test(named)
    ? `looks/${model}/${named.replace(/\.json$/, '')}.json`
    : named;
  return stores.looks.find(model, name);
}

/**
 * Judges kept evidence again, with today's rules and, where one is given, another plan. Nothing is written: a look stays
 * what it was.
 *
 * @param limits  of a stage: what is named here takes the place of what was pinned
 * @throws {ProblemError} 422 where the evidence was not counted for such a plan
 */
export async function judgeAgain(
  stores: Stores,
  model: string,
  named: string,
  limits: { kind: string; live?: object } | undefined,
): Promise<JudgedAgain> {
  const { key, sha256, look } = await readLook(stores, model, named);
  const replanned =
    limits === undefined ? { ok: true as const, plan: look.plan } : replan(look.plan, otherLimits(look.plan, limits));
  if (!replanned.ok)
    throw new ProblemError({
      status: 422,
      type: 'plan-does-not-fit',
      title: 'The plan does not fit the evidence',
      detail: `${key} cannot be judged under this plan: ${replanned.because}.`,
    });
  const { plan } = replanned;
  const { verdict, rules, figures } = look;
  const now = judge(plan, look.evidence);
  const same = JSON.stringify(now.verdict) === JSON.stringify(verdict);
  return { key, sha256, kind: look.kind, plan, was: { verdict, rules, figures }, now, same, build: look.build };
}

/** Only what is named is otherwise: a default of the schema is nobody's wish, and would take the place of a pinned limit. */
function otherLimits(plan: Look['plan'], limits: { kind: string; live?: object }): Stage {
  if (plan.kind === 'gate' || plan.stage.kind !== limits.kind) return limits as Stage; // refused for its kind alone
  const pinned = plan.stage;
  const live = limits.live && { live: { ...('live' in pinned && pinned.live), ...limits.live } };
  const merged = Stage.safeParse({ ...pinned, ...limits, ...live });
  if (merged.success) return merged.data;
  throw new ProblemError({
    status: 422,
    type: 'plan-does-not-fit',
    title: 'The plan is no stage',
    issues: issuesOfZod(merged.error),
  });
}
