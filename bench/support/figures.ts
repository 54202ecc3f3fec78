/** The figures of docs/statistics.md, as SVG by hand: they read in light and in dark, and need no script. */
import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { A_A, bandsOf, type TrialLog, type Unit } from './trial-simulation.ts';

const FOLDER = fileURLToPath(new URL('../../docs/figures/', import.meta.url));
const WIDTH = 720;

const STYLE = `
  :root { --paper: #ffffff; --ink: #24292f; --faint: #d0d7de; --mid: #6e7781; --a: #0969da; --b: #bc4c00; --c: #1a7f37; --d: #8250df; }
  @media (prefers-color-scheme: dark) {
    :root { --paper: #0d1117; --ink: #e6edf3; --faint: #30363d; --mid: #8d96a0; --a: #58a6ff; --b: #f0883e; --c: #56d364; --d: #bc8cff; }
  }
  text { fill: var(--ink); font: 12px system-ui, sans-serif; }
  .title { font-weight: 600; font-size: 14px; }
  .small { fill: var(--mid); font-size: 11px; }
  .axis, .grid { stroke: var(--faint); stroke-width: 1; }
  .limit { stroke: var(--mid); stroke-width: 1.5; stroke-dasharray: 5 4; }
  .line { fill: none; stroke-width: 2; }
`;
const COLOURS = ['var(--a)', 'var(--b)', 'var(--c)', 'var(--d)'];

export interface Rate {
  data: string;
  unit: Unit;
  trials: number;
  rate: number;
  lower: number;
  upper: number;
}

/** False promotions by what was taken for a block. */
export async function drawRates(rates: Rate[], o: { alpha: number; most: number }): Promise<void> {
  const left = 290;
  const x = scale([0, 0.6], [left, WIDTH - 60]);
  const rowHeight = 26;
  const top = 62;
  const bottom = top + rates.length * rowHeight;
  const parts = [
    text(16, 24, 'Equal models called better, looked at every day', 'title'),
    text(
      16,
      42,
      `Blocks of a week keep the promise of ${100 * o.alpha} %, of a request never, of a day on some logs only. Bars: bounds of 95 %.`,
      'small',
    ),
    ...[0, 0.2, 0.4, 0.6].flatMap((at) => [
      line(x(at), top - 8, x(at), bottom, 'grid'),
      text(x(at), bottom + 18, `${Math.round(100 * at)} %`, 'small', 'middle'),
    ]),
    line(x(o.most), top - 8, x(o.most), bottom, 'limit'),
    text(x(o.most) + 4, bottom + 34, '1.5 alpha', 'small', 'middle'),
  ];
  rates.forEach(({ data, unit, rate, lower, upper }, i) => {
    const y = top + i * rowHeight + 8;
    const colour = upper <= o.most ? 'var(--c)' : 'var(--b)';
    parts.push(
      text(left - 12, y + 4, `${data}, by ${unit}`, '', 'end'),
      `<line x1="${n(x(lower))}" y1="${y}" x2="${n(x(upper))}" y2="${y}" stroke="${colour}" stroke-width="3"/>`,
      `<circle cx="${n(x(rate))}" cy="${y}" r="4.5" fill="${colour}"/>`,
      text(Math.max(x(upper), x(o.most)) + 10, y + 4, `${(100 * rate).toFixed(1)} %`),
    );
  });
  await write('false-promotions', bottom + 46, parts, 'Rates of false promotion by unit of evidence');
}

interface PowerCurve {
  data: string;
  effect: number;
  weeks: number;
  foundBy(week: number): number;
  twoWeeks: number;
}

/** Share of trials that have said better, week by week: one panel per log. */
export async function drawPower(powers: PowerCurve[]): Promise<void> {
  const datas = [...new Set(powers.map(({ data }) => data))];
  const panel = 190;
  const parts = [
    text(16, 24, 'When is a better model seen?', 'title'),
    text(
      16,
      42,
      'Share of trials that have said better; circles: the two-week t-test, whose labels come when they come.',
      'small',
    ),
  ];
  datas.forEach((data, p) => {
    const top = 72 + p * (panel + 54);
    const ours = powers.filter((one) => one.data === data);
    const x = scale([0, ours[0]!.weeks], [56, WIDTH - 110]);
    const y = scale([0, 1], [top + panel, top]);
    parts.push(text(56, top - 10, data));
    for (const share of [0, 0.5, 1])
      parts.push(
        line(x(0), y(share), x(ours[0]!.weeks), y(share), 'grid'),
        text(48, y(share) + 4, `${100 * share} %`, 'small', 'end'),
      );
    for (let week = 0; week <= ours[0]!.weeks; week += 8)
      parts.push(text(x(week), y(0) + 18, String(week), 'small', 'middle'));
    parts.push(text(x(ours[0]!.weeks) + 8, y(0) + 18, 'weeks', 'small'));
    let free = Infinity;
    ours
      .map((one, i) => ({ ...one, colour: COLOURS[i % COLOURS.length]!, end: one.foundBy(one.weeks) }))
      .sort((a, b) => a.end - b.end)
      .forEach(({ effect, weeks, foundBy, twoWeeks, colour, end }) => {
        const points = Array.from({ length: weeks + 1 }, (_, week) => `${n(x(week))},${n(y(foundBy(week)))}`);
        free = Math.min(free - 15, y(end) + 4);
        parts.push(
          `<polyline class="line" stroke="${colour}" points="${points.join(' ')}"/>`,
          `<circle cx="${n(x(2))}" cy="${n(y(twoWeeks))}" r="4" fill="none" stroke="${colour}" stroke-width="2"/>`,
          `<text x="${n(x(weeks) + 8)}" y="${n(free)}" style="fill:${colour}">effect ${effect}</text>`,
        );
      });
  });
  await write(
    'power',
    72 + datas.length * (panel + 54),
    parts,
    'Share of trials that have found the better model, by week',
  );
}

/** The band of one trial, day by day. */
export async function drawBand(log: TrialLog): Promise<void> {
  const bands = bandsOf(log, A_A);
  const top = 66;
  const bottom = 300;
  const limit = 0.08;
  const x = scale([0, log.days], [64, WIDTH - 24]);
  const y = scale([-limit, limit], [bottom, top]);
  const clip = (value: number) => y(Math.max(-limit, Math.min(limit, value)));
  const upper = bands.map(({ day, band }) => `${n(x(day))},${n(clip(band.upper))}`);
  const lower = bands.map(({ day, band }) => `${n(x(day))},${n(clip(band.lower))}`);
  const mean = bands.map(({ day, band }) => `${n(x(day))},${n(clip(band.mean))}`);
  const seen = (share: number) => bands.find(({ band }) => band.unseenShare <= share)?.day;
  const parts = [
    text(16, 24, 'One trial: boosting against linear on the bookings of 2016-07 to 2017-02', 'title'),
    text(16, 42, 'Mean improvement of log-loss and its band (one-sided, 5 % each way), by day of evidence.', 'small'),
    ...[-0.08, -0.04, 0, 0.04, 0.08].flatMap((at) => [
      line(x(0), y(at), x(log.days), y(at), 'grid'),
      text(56, y(at) + 4, at.toFixed(2), 'small', 'end'),
    ]),
    ...Array.from({ length: Math.floor(log.days / 30) + 1 }, (_, i) =>
      text(x(30 * i), bottom + 18, String(30 * i), 'small', 'middle'),
    ),
    line(x(0), y(0), x(log.days), y(0), 'limit'),
    `<polygon points="${[...upper, ...lower.toReversed()].join(' ')}" fill="var(--a)" fill-opacity="0.18"/>`,
    `<polyline class="line" stroke="var(--a)" points="${mean.join(' ')}"/>`,
    ...[0.3, 0.1].flatMap((share) => {
      const day = seen(share);
      if (day === undefined) return [];
      return [
        line(x(day), top, x(day), bottom, 'limit'),
        text(x(day) + 4, top + 10, `${100 * share} % unseen`, 'small'),
      ];
    }),
  ];
  await write('band', bottom + 30, parts, 'The confidence band of a trial, day by day');
}

export interface Delay {
  factor: number;
  /** Canary units by the rollback, ascending, of those that were rolled back. */
  units: number[];
  canaries: number;
}

/** How many canary units it takes until a bad canary goes back. */
export async function drawDelays(delays: Delay[], most: number): Promise<void> {
  const top = 62;
  const bottom = 290;
  const x = scale([0, Math.log10(most)], [56, WIDTH - 110]);
  const y = scale([0, 1], [bottom, top]);
  const parts = [
    text(16, 24, 'How soon does a failing canary go back?', 'title'),
    text(
      16,
      42,
      'Share of canaries rolled back by so many units of their own (logarithmic), the champion failing at 1 %.',
      'small',
    ),
    ...[0, 0.5, 1].flatMap((share) => [
      line(x(0), y(share), x(Math.log10(most)), y(share), 'grid'),
      text(48, y(share) + 4, `${100 * share} %`, 'small', 'end'),
    ]),
    ...[1, 10, 100, 1000].map((at) => text(x(Math.log10(at)), bottom + 18, String(at), 'small', 'middle')),
    text(x(Math.log10(most)) + 8, bottom + 18, 'units', 'small'),
  ];
  delays.forEach(({ factor, units, canaries }, i) => {
    const colour = COLOURS[i % COLOURS.length]!;
    const points = [0, ...units].map((at, k) => `${n(x(Math.log10(Math.max(1, at))))},${n(y(k / canaries))}`);
    const median = units[Math.ceil(canaries / 2) - 1];
    parts.push(`<polyline class="line" stroke="${colour}" points="${points.join(' ')}"/>`);
    if (median !== undefined)
      parts.push(
        `<text x="${n(x(Math.log10(median)) - 8)}" y="${n(y(0.5) - 6)}" text-anchor="end" style="fill:${colour}">${factor === 1 ? 'equal' : `${factor} x`}: ${median}</text>`,
      );
    else
      parts.push(
        `<text x="${n(x(Math.log10(most)) + 8)}" y="${n(y(units.length / canaries) + 4)}" style="fill:${colour}">${factor === 1 ? 'equal' : `${factor} x`}</text>`,
      );
  });
  await write('canaries', bottom + 30, parts, 'Canary units until a failing canary is rolled back');
}

const n = (value: number): string => String(Math.round(value * 10) / 10);
const scale =
  ([from, to]: [number, number], [a, b]: [number, number]) =>
  (value: number): number =>
    a + ((value - from) / (to - from)) * (b - a);
const line = (x1: number, y1: number, x2: number, y2: number, kind: string): string =>
  `<line class="${kind}" x1="${n(x1)}" y1="${n(y1)}" x2="${n(x2)}" y2="${n(y2)}"/>`;
const text = (x: number, y: number, what: string, kind = '', anchor = 'start'): string =>
  `<text x="${n(x)}" y="${n(y)}"${kind && ` class="${kind}"`}${anchor === 'start' ? '' : ` text-anchor="${anchor}"`}>${what}</text>`;

async function write(name: string, height: number, parts: string[], title: string): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${Math.ceil(height)}" role="img" aria-label="${title}">
<style>${STYLE}</style>
<rect width="100%" height="100%" fill="var(--paper)"/>
${parts.join('\n')}
</svg>
`;
  await writeFile(`${FOLDER}${name}.svg`, svg);
}
