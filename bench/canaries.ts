/**
 * Canaries that fail as often as their champion: how often is one rolled back by mistake? Units come once or a thousand
 * times. Exits with 1 if the upper 95 % bound of that rate is above 1.5 alpha, or if counting every request as a unit is no
 * worse. And of those that fail more often: how many of its units does that cost?
 *
 *   npm run bench -- canaries [canaries] [draw]
 */
import { clopperPearson, Random } from '../numerics/index.ts';
import { EQUAL, runCanary, type CanaryTerms } from './support/canary-simulation.ts';
import { drawDelays } from './support/figures.ts';
import { medianOf, percent, printTable } from './support/print.ts';

const { alpha } = EQUAL;
const MOST = 1.5 * alpha;
const FACTORS = [2, 5, 20];
/** Of the canary: at twice 1 % the evidence needs thousands of units. */
const MOST_UNITS = 4000;

interface Simulated {
  name: string;
  canaries: number;
  rolledBack: number;
  rate: number;
  lower: number;
  upper: number;
  byRule: Record<string, number>;
  /** Ascending, of those that were rolled back. */
  units: number[];
}

export async function main(args: string[]): Promise<Record<string, unknown>> {
  const canaries = Number(args.find((arg) => /^\d+$/.test(arg)) ?? 2000);
  const say = (line: string) => void process.stderr.write(`${line}\n`);
  const simulate = (name: string, times: number, terms: Partial<CanaryTerms>): Simulated => {
    const random = new Random(5);
    const byRule: Record<string, number> = {};
    const units: number[] = [];
    for (let i = 0; i < times; i++) {
      const end = runCanary({ ...EQUAL, ...terms }, random);
      if (end.rule === undefined) continue;
      byRule[end.rule] = (byRule[end.rule] ?? 0) + 1;
      units.push(end.units);
    }
    const rolledBack = units.length;
    say(`${name}: ${rolledBack} of ${times} rolled back ${JSON.stringify(byRule)}`);
    return {
      name,
      canaries: times,
      rolledBack,
      rate: rolledBack / times,
      ...clopperPearson(rolledBack, times, 0.05),
      byRule,
      units: units.sort((a, b) => a - b),
    };
  };

  const equal = simulate('equal', canaries, {});
  const few = Math.ceil(canaries / 10);
  const byRequest = simulate('equal, every request a unit', few, { countRequests: true });
  const slower = FACTORS.map((factor) => ({
    factor,
    ...simulate(`${factor} x`, few, { canaryRate: factor * EQUAL.championRate, maxUnits: MOST_UNITS }),
  }));

  const rules = (byRule: Record<string, number>) =>
    Object.entries(byRule)
      .map(([rule, times]) => `${rule} ${times}`)
      .join(', ') || '-';
  process.stdout.write(
    `A champion that fails at ${percent(EQUAL.championRate)}, ${percent(EQUAL.weight)} of units on the canary, alpha ${alpha}, a look every 2 s:\n\n`,
  );
  printTable(
    ['canary', 'canaries', 'rolled back', '95 % bounds', 'median units', 'rules'],
    [equal, byRequest, ...slower].map((one) => [
      one.name,
      String(one.canaries),
      percent(one.rate),
      `${percent(one.lower)} to ${percent(one.upper)}`,
      String(medianOf(one.units, one.canaries) ?? '-'),
      rules(one.byRule),
    ]),
  );
  if (args.includes('draw'))
    await drawDelays(
      [
        { factor: 1, units: equal.units, canaries: equal.canaries },
        ...slower.map(({ factor, units, canaries: of }) => ({ factor, units, canaries: of })),
      ],
      MOST_UNITS,
    );

  if (equal.upper > MOST) say(`FAILED: the upper bound ${percent(equal.upper)} is above ${percent(MOST)}`);
  if (byRequest.lower <= equal.upper)
    say('FAILED: counting every request as a unit is no worse: the simulation is too tame');
  if (equal.upper > MOST || byRequest.lower <= equal.upper) process.exitCode = 1;
  return {
    alpha,
    canaries,
    falseRollbackRate: equal.rate,
    upperBound: equal.upper,
    byRequest: byRequest.rate,
    medianUnitsToRollback: Object.fromEntries(
      slower.map(({ factor, units, canaries: of }) => [`${factor}x`, medianOf(units, of) ?? null]),
    ),
  };
}
