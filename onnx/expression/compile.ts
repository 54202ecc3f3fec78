import { int, type GraphBuilder } from '../graph-builder.ts';
import type { Core, CoreOp } from './core.ts';

/** A tensor [N, 1], or [1, 1] for a constant. Truths that a comparison gave are bool, raw booleans double (NaN: missing). */
interface Value {
  name: string;
  is: 'double' | 'bool' | 'string';
}

/**
 * Turns checked expressions into nodes of one graph, in double precision throughout: exact for whole numbers up to 2^53,
 * so dates and seconds lose nothing.
 */
export class Compiler {
  private readonly graph: GraphBuilder;
  private readonly done = new Map<Core, Value>();

  constructor(graph: GraphBuilder) {
    this.graph = graph;
  }

  /** A double tensor; truths are 0 and 1, missing is NaN. */
  number(expression: Core): string {
    const value = this.value(expression);
    return value.is === 'bool' ? this.graph.cast(value.name, 'double') : value.name;
  }

  /** A string tensor, missing is ''. */
  string(expression: Core): string {
    return this.value(expression).name;
  }

  private truth(expression: Core): string {
    const value = this.value(expression);
    return value.is === 'bool' ? value.name : this.node('Equal', [value.name, this.constant(1)]);
  }

  private value(expression: Core): Value {
    let value = this.done.get(expression);
    if (!value) {
      value = this.make(expression);
      this.done.set(expression, value);
    }
    return value;
  }

  private make(expression: Core): Value {
    const { op, args, type } = expression;
    if (op === 'input') return { name: expression.name!, is: type === 'string' ? 'string' : 'double' };
    if (op === 'constant')
      return typeof expression.value === 'string'
        ? { name: this.graph.strings([expression.value], [1, 1]), is: 'string' }
        : { name: this.constant(expression.value!), is: 'double' };
    if (type === 'boolean' && op !== 'if' && op !== 'coalesce') return { name: this.makeTruth(op, args), is: 'bool' };
    if (type === 'string') return { name: this.makeString(op, args), is: 'string' };
    return { name: this.makeNumber(op, args), is: 'double' };
  }

  private makeTruth(op: CoreOp, args: Core[]): string {
    const [first] = args as [Core];
    if (op === 'not') return this.node('Not', [this.truth(first)]);
    if (op === 'and' || op === 'or') {
      const sides = args.map((arg) => this.truth(arg));
      return this.node(op === 'and' ? 'And' : 'Or', sides);
    }
    if (op === 'textEqual' || op === 'textNotEqual') return this.compareTexts(op, args);
    if (op === 'isMissing')
      return first.type === 'string' ? this.emptyText(first) : this.node('IsNaN', [this.number(first)]);
    const sides = args.map((arg) => this.number(arg));
    if (op !== 'notEqual') return this.node(COMPARISONS[op]!, sides);
    // Not Not(Equal): that would be true of a missing value.
    return this.node('Or', [this.node('Less', sides), this.node('Greater', sides)]);
  }

  private compareTexts(op: 'textEqual' | 'textNotEqual', args: Core[]): string {
    const equal = this.node(
      'Equal',
      args.map((arg) => this.string(arg)),
    );
    let result = op === 'textEqual' ? equal : this.node('Not', [equal]);
    // Two missing texts are not equal, and a missing one is not unequal. A literal is never missing.
    const mayBeMissing = args.filter((arg) => arg.op !== 'constant');
    const toTest = op === 'textEqual' && mayBeMissing.length < args.length ? [] : mayBeMissing;
    for (const arg of toTest) result = this.node('And', [result, this.node('Not', [this.emptyText(arg)])]);
    return result;
  }

  private makeString(op: CoreOp, args: Core[]): string {
    if (op === 'if') return this.node('Where', [this.truth(args[0]!), this.string(args[1]!), this.string(args[2]!)]);
    return args.reduceRight<string>(
      (rest, arg) =>
        rest === '' ? this.string(arg) : this.node('Where', [this.emptyText(arg), rest, this.string(arg)]),
      '',
    );
  }

  private makeNumber(op: CoreOp, args: Core[]): string {
    if (op === 'if') return this.node('Where', [this.truth(args[0]!), this.number(args[1]!), this.number(args[2]!)]);
    const values = args.map((arg) => this.number(arg));
    const [x, y] = values as [string, string];
    const make = this.composite[op];
    return make ? make(x, y, values) : this.node(ARITHMETIC[op]!, values);
  }

  /** What takes several nodes. */
  private readonly composite: Partial<Record<CoreOp, (x: string, y: string, all: string[]) => string>> = {
    coalesce: (_x, _y, all) =>
      all.reduceRight((rest, value) => this.node('Where', [this.node('IsNaN', [value]), rest, value])),
    // The remainder has the sign of the divisor, so that (x % 7) is 0 to 6 for negative x too.
    modulo: (x, y) => {
      const remainder = this.fmod(x, y);
      const wrong = this.node('Less', [this.node('Mul', [remainder, y]), this.constant(0)]);
      return this.node('Where', [wrong, this.node('Add', [remainder, y]), remainder]);
    },
    // x + 0 x: NaN if x is infinite, else x
    finite: (x) => this.node('Add', [x, this.node('Mul', [x, this.constant(0)])]),
    year: (x) => this.civil(x).year(),
    month: (x) => this.civil(x).month(),
    day: (x) => this.civil(x).day(),
    dayofyear: (x) => this.dayOfYear(x),
    // 1970-01-01 was a Thursday
    weekday: (x) => this.plus(this.fmod(this.plus(x, 3 + 7 * FAR_PAST), this.constant(7)), 1),
    hour: (x) => {
      const ofDay = this.fmod(this.plus(x, 86_400 * 7 * FAR_PAST), this.constant(86_400));
      return this.floorDivide(ofDay, 3600);
    },
  };

  /**
   * Days since 1970 to year, month and day: Howard Hinnant's civil_from_days, in floors and remainders of whole doubles,
   * with the 400-year cycle, the 4-year cycle and the month each found as floor((4 n + 3) / length) (Neri and Schneider
   * 2022). The year begins in March, so that the leap day is its last. Exact from the year 0 on.
   */
  private civil(days: string): { year(): string; month(): string; day(): string } {
    const fromMarch0000 = this.plus(days, 719_468);
    const quarters = this.plus(this.times(fromMarch0000, 4), 3);
    const century = () => this.floorDivide(quarters, 146_097);
    const dayOfCentury = this.floorDivide(this.fmod(quarters, this.constant(146_097)), 4);
    const quartersOfCentury = this.plus(this.times(dayOfCentury, 4), 3);
    const yearOfCentury = () => this.floorDivide(quartersOfCentury, 1461);
    const dayOfYear = this.floorDivide(this.fmod(quartersOfCentury, this.constant(1461)), 4);
    const fifths = this.plus(this.times(dayOfYear, 5), 2);
    const isNextYear = () => this.node('GreaterOrEqual', [dayOfYear, this.constant(306)]);
    return {
      year: () => {
        const year = this.node('Add', [this.times(century(), 100), yearOfCentury()]);
        return this.node('Add', [year, this.graph.cast(isNextYear(), 'double')]);
      },
      month: () => {
        const month = this.plus(this.floorDivide(fifths, 153), 3);
        return this.node('Where', [isNextYear(), this.plus(month, -12), month]);
      },
      day: () => this.plus(this.floorDivide(this.fmod(fifths, this.constant(153)), 5), 1),
    };
  }

  /** Days of the year before it are taken off: of whole 400-year cycles, centuries, 4-year cycles and years. */
  private dayOfYear(days: string): string {
    const fromYear1 = this.plus(days, 719_162);
    const ofCycle = this.fmod(fromYear1, this.constant(146_097));
    const century = this.node('Min', [this.floorDivide(ofCycle, 36_524), this.constant(3)]);
    const ofCentury = this.node('Sub', [ofCycle, this.times(century, 36_524)]);
    const ofFourYears = this.fmod(ofCentury, this.constant(1461));
    const year = this.node('Min', [this.floorDivide(ofFourYears, 365), this.constant(3)]);
    return this.plus(this.node('Sub', [ofFourYears, this.times(year, 365)]), 1);
  }

  private emptyText(expression: Core): string {
    return this.node('Equal', [this.string(expression), this.graph.strings([''], [1, 1])]);
  }

  private node(operator: string, inputs: string[]): string {
    return this.graph.node(operator, inputs);
  }

  private constant(value: number): string {
    return this.graph.doubles([value], [1, 1]);
  }

  private plus(x: string, by: number): string {
    return this.node('Add', [x, this.constant(by)]);
  }

  private times(x: string, by: number): string {
    return this.node('Mul', [x, this.constant(by)]);
  }

  /** Rounding cannot carry a quotient of whole numbers below 2^53 up to the next whole number, so this is exact. */
  private floorDivide(x: string, by: number): string {
    return this.node('Floor', [this.node('Div', [x, this.constant(by)])]);
  }

  /** C's fmod, exact; of the dividend's sign. */
  private fmod(x: string, by: string): string {
    return this.graph.node('Mod', [x, by], { fmod: int(1) });
  }
}

/** Weeks that make every day since 0001-01-01 positive. */
const FAR_PAST = 110_000;

const ARITHMETIC: Partial<Record<CoreOp, string>> = {
  add: 'Add',
  subtract: 'Sub',
  multiply: 'Mul',
  divide: 'Div',
  negate: 'Neg',
  abs: 'Abs',
  min: 'Min',
  max: 'Max',
  floor: 'Floor',
  round: 'Round',
  ln: 'Log',
  exp: 'Exp',
  sqrt: 'Sqrt',
};

const COMPARISONS: Partial<Record<CoreOp, string>> = {
  less: 'Less',
  lessOrEqual: 'LessOrEqual',
  greater: 'Greater',
  greaterOrEqual: 'GreaterOrEqual',
  equal: 'Equal',
};
