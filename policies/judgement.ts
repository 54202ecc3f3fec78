import type { Figure, RuleResult, Verdict } from '../schemas/index.ts';

/** What a plan makes of evidence: every rule with its reason, the figures as a person reads them, and what follows. */
export interface Judgement {
  rules: RuleResult[];
  figures: Figure[];
  verdict: Verdict;
}
