import type { Figure, Look } from '../../schemas/index.ts';
import { paint } from '../output.ts';

type Paint = typeof paint;

/** Where a band stands, as it is drawn: less than 0 is worse. */
export interface Drawn {
  lower: number;
  upper: number;
  value: number;
  /** Least improvement that is asked. */
  effect: number;
}

type Mark = 'nothing' | 'zero' | 'effect' | 'band' | 'value' | 'beyond';

const GLYPHS: Record<Mark, string> = { nothing: ' ', zero: '│', effect: '┊', band: '━', value: '●', beyond: '…' };

/**
 * A band on an axis of `width` characters from -scale to +scale: 0 as a line, the least improvement as a dotted one, and
 * the ends that are off the axis as dots.
 *
 * @returns [width] what stands at each place
 */
export function bandMarks({ lower, upper, value, effect }: Drawn, width: number, scale: number): Mark[] {
  const place = (x: number) => Math.round(((x / scale + 1) / 2) * (width - 1));
  const marks = new Array<Mark>(width).fill('nothing');
  const first = Math.max(0, place(lower));
  const last = Math.min(width - 1, place(upper));
  for (let i = first; i <= last; i++) marks[i] = 'band';
  marks[place(0)] = 'zero';
  if (place(effect) < width) marks[place(effect)] = 'effect';
  if (place(value) >= 0 && place(value) < width) marks[place(value)] = 'value';
  if (place(lower) < 0) marks[0] = 'beyond';
  if (place(upper) > width - 1) marks[width - 1] = 'beyond';
  return marks;
}

/** The axis that a band fits: of 1, 2 or 5 times a power of ten, at least four times the least improvement. */
export function axisFor({ lower, upper, effect }: Drawn): number {
  const wanted = Math.max(Math.min(Math.max(-lower, upper), 50 * effect), 4 * effect);
  const power = 10 ** Math.floor(Math.log10(wanted));
  return power * ([1, 2, 5].find((step) => step * power >= wanted) ?? 10);
}

/** The same in colour: green where it is better, red where it is worse. */
export function drawBand(drawn: Drawn, width: number, scale: number, painted: Paint = paint): string {
  const colour = drawn.lower > drawn.effect ? 'green' : drawn.upper < 0 ? 'red' : 'cyan';
  return bandMarks(drawn, width, scale)
    .map((mark) => {
      const style = mark === 'band' || mark === 'value' || mark === 'beyond' ? colour : 'dim';
      return mark === 'nothing' ? ' ' : painted(style, GLYPHS[mark]);
    })
    .join('');
}

/** What a look of a shadow trial says in one line of the story. */
export interface TrialLine {
  date: string;
  day: number;
  blocks: number;
  drawn?: Drawn;
  unseen?: number;
  /** Rows with an outcome of those that are due, and due of all. */
  coverage?: number;
  due?: number;
  says: string;
}

const DAY_MS = 86_400_000;

/** The line of a look. @throws {TypeError} if it is none of a shadow trial */
export function trialLine(look: Look): TrialLine {
  const { plan, evidence, figures, verdict, rules } = look;
  if (plan.kind !== 'shadow' || evidence.kind !== 'shadow') throw new TypeError(`a ${look.kind} look has no band`);
  const loss: Figure | undefined = figures.find(({ name }) => name === 'loss');
  const { lower, upper, value } = loss ?? {};
  return {
    date: evidence.asOf.slice(0, 10),
    day: Math.floor((Date.parse(evidence.asOf) - Date.parse(plan.from)) / DAY_MS),
    blocks: loss?.blocks ?? 0,
    ...(lower !== undefined &&
      upper !== undefined && { drawn: { lower, upper, value: value!, effect: plan.minimumEffect } }),
    ...(loss?.unseenShare !== undefined && { unseen: loss.unseenShare }),
    ...(loss?.coverage !== undefined && { coverage: loss.coverage }),
    ...(loss?.expectedCoverage !== undefined && { due: loss.expectedCoverage }),
    says: inShort(verdict, rules),
  };
}

/** A verdict in the few words that fit a line. */
function inShort({ says, limitedBy, because }: Look['verdict'], rules: Look['rules']): string {
  if (says === 'pass') return 'better';
  if (says === 'fail') return limitedBy === 'effect' ? 'worse' : `fails: ${limitedBy ?? because}`;
  if (says === 'no-data') return limitedBy === 'labels' ? 'nothing due yet' : 'no data yet';
  const effect = rules.find(({ rule }) => rule === 'effect')?.because ?? because;
  const leaning = /^leaning (better|worse|neither way)/.exec(effect)?.[0];
  if (limitedBy === 'blocks') return leaning ? `too early (${leaning})` : 'too early';
  if (limitedBy === 'unseen') return `too much unseen${leaning ? ` (${leaning})` : ''}`;
  if (effect.startsWith('no difference')) return 'no difference';
  if (limitedBy?.startsWith('live.') && effect.startsWith('better')) return 'better; too little live';
  return 'undecided';
}

/** Columns of the trial's table beside the band. */
const BESIDE = 'log date     day  weeks  '.length;
const AFTER = '  unseen    due  known  verdict'.length;
const VERDICT = 18;
const NARROWEST_BAND = 21;
const WIDEST_BAND = 61;
/** Half an axis that has room for words. */
const ROOMY = 14;

export const bandWidth = (screenWidth: number): number =>
  Math.max(NARROWEST_BAND, Math.min(WIDEST_BAND, screenWidth - BESIDE - AFTER - VERDICT));

/** The head of the trial's table, over an axis from -scale to +scale. */
export function trialHead(screenWidth: number, scale: number): string {
  const width = bandWidth(screenWidth);
  const [left, right] = width > 2 * ROOMY ? [`worse -${scale}`, `+${scale} better`] : [`-${scale}`, `+${scale}`];
  const toZero = left.padEnd(Math.floor(width / 2)) + '0';
  return `log date     day  weeks  ${toZero}${right.padStart(width - toZero.length)}  unseen    due  known  verdict`;
}

/** One look as a row of it. */
export function trialRow(line: TrialLine, screenWidth: number, scale: number, painted?: Paint): string {
  const width = bandWidth(screenWidth);
  const share = (x: number | undefined, room: number) =>
    (x === undefined ? '-' : `${Math.round(100 * x)} %`).padStart(room);
  const band = line.drawn
    ? drawBand(line.drawn, width, scale, painted)
    : '·'.padStart(Math.floor(width / 2) + 1).padEnd(width);
  return [
    line.date,
    String(line.day).padStart(4),
    String(line.blocks).padStart(5),
    band,
    share(line.unseen, 6),
    share(line.due, 5),
    share(line.coverage, 5),
    line.says,
  ].join('  ');
}
