import { isKey, type Stores } from '../../../bucket/index.ts';
import type { Look, LookKind, RecordedVote, Revision, Run } from '../../../schemas/index.ts';
import { percent } from '../history.ts';
import { link, type Link } from './link.ts';
import type { WhyStep } from './shapes.ts';

/** A rollout has one plan and one approval, and looks at them were written within it: so many of a kind are read back. */
const LOOK_BACK = 20;

type Found = { key: string; look: Look; sha256: string };

/**
 * What a revision rests on, newest first: the look that it cites, the approval of that rollout, the look that was
 * approved, the plan of the trial, and the gate of the run that trained the version. Where several are one, it stands once.
 */
export async function lookSteps(
  stores: Stores,
  model: string,
  revision: Revision | undefined,
  run: Run | undefined,
): Promise<WhyStep[]> {
  const steps = new Map<string, WhyStep>();
  const walk = async (key: string): Promise<Found | undefined> => {
    const { record, ...where } = await link(key, () => stores.looks.readWithHash(key));
    if (!steps.has(key)) steps.set(key, stepOf(key, record, where));
    return record;
  };
  const cited = revision?.look === undefined ? undefined : await walk(revision.look);
  if (cited?.look.rollout) {
    const { runId } = cited.look.rollout;
    const [approval, shadow, plan] = await ofRollout(stores, model, runId, cited.key, ['approval', 'shadow', 'plan']);
    const asked = approval === undefined ? undefined : (await walk(approval))?.look.plan;
    const about = (asked?.kind === 'approval' ? asked.look : undefined) ?? shadow;
    if (about !== undefined) await walk(about);
    if (plan !== undefined) await walk(plan);
  }
  if (run?.look !== undefined) await walk(run.look);
  return [...steps.values()];
}

/** The newest look of each kind that a rollout had by then. */
async function ofRollout(
  stores: Stores,
  model: string,
  runId: string,
  until: string,
  kinds: LookKind[],
): Promise<(string | undefined)[]> {
  const keys: string[] = [];
  for await (const { key } of stores.bucket.list(`looks/${model}/`)) if (key <= until) keys.push(key);
  keys.reverse();
  return Promise.all(
    kinds.map(async (kind) => {
      for (const key of keys.filter((one) => one.endsWith(`-${kind}.json`)).slice(0, LOOK_BACK)) {
        // One that is damaged says not whose it is: the walk passes it over.
        const look = await stores.looks.read(key).catch(() => undefined);
        if (look?.rollout?.runId === runId) return key;
      }
      return undefined;
    }),
  );
}

function stepOf(key: string, found: Found | undefined, where: Omit<Link<Found>, 'record'>): WhyStep {
  if (!found)
    return {
      step: 'look',
      ...(isKey(key) && { key }),
      ...where,
      kind: kindOf(key),
      votes: [],
      says: `It rests on the look ${key}.`,
    };
  const { look, sha256 } = found;
  return {
    step: 'look',
    key,
    kind: look.kind,
    sha256,
    at: look.at,
    verdict: look.verdict,
    versions: look.versions,
    votes: look.evidence.kind === 'approval' ? look.evidence.votes : [],
    says: `${said(look)}: ${look.verdict.says}, because ${look.verdict.because} (${sha256.slice(0, 8)}, judged by code ${look.build.slice(0, 12)}).`,
  };
}

/** The key says it, where the record cannot. */
const kindOf = (key: string): string => /-([a-z]+)\.json$/.exec(key)?.[1] ?? 'unknown';

function said({ kind, at, versions, plan, evidence }: Look): string {
  const challenger = versions.at(-1);
  const of = challenger === undefined ? '' : ` of version ${challenger}`;
  switch (kind) {
    case 'gate':
      return `The gate of its training, at ${at}`;
    case 'plan':
      return `Whether the trial${of} could decide, at ${at}`;
    case 'shadow':
      return `The trial${of}${versions.length > 1 ? ` against version ${versions[0]}` : ''}, looked at ${at}`;
    case 'canary':
      return `The canary${of}${plan.kind === 'canary' ? ` with ${percent(plan.stage.weight)}` : ''}, looked at ${at}`;
    case 'bake':
      return `The bake${of}, looked at ${at}`;
    case 'approval': {
      const votes = evidence.kind === 'approval' ? evidence.votes.map(voted) : [];
      const about = plan.kind === 'approval' && plan.look !== undefined ? ` of the look ${plan.look}` : of;
      return `The approval${about}, at ${at}${votes.length > 0 ? `: ${votes.join('; ')}` : ', on which nobody voted'}`;
    }
  }
}

function voted({ says, by, verified, at, channel, reason, counts, why }: RecordedVote): string {
  return `${says === 'approve' ? 'approved' : 'rejected'} by ${by} (${verified ? 'verified' : 'unverified'}, by ${channel}, ${at}${counts ? '' : `, does not count: ${why}`}): ${reason}`;
}
