import { styleText } from 'node:util';
import { formatTable, type Cell } from './table.ts';

type Style = Parameters<typeof styleText>[0];

export const say = (text: string): void => void process.stdout.write(`${text}\n`);
/** For people who watch: never part of what a pipe reads. */
export const tell = (text: string): void => void process.stderr.write(`${text}\n`);
export const sayJson = (value: unknown): void => say(JSON.stringify(value, null, 2));

/** Colours where stdout is a terminal that wants them (NO_COLOR, FORCE_COLOR). */
export const paint = (style: Style, text: string): string => styleText(style, text, { stream: process.stdout });

export const sayTable = (head: string[], rows: Cell[][]): void =>
  say(
    formatTable(head, rows, {
      head: (text) => paint('dim', text),
      width: process.stdout.isTTY ? process.stdout.columns : undefined,
    }),
  );

/** 2017-03-01 14:05, UTC. */
export const when = (iso: string | undefined): string => (iso ? iso.slice(0, 16).replace('T', ' ') : '-');

/** Four significant digits, as people compare metrics. */
export const figure = (value: number | undefined): string =>
  value === undefined ? '-' : Number(value.toPrecision(4)).toString();

export const mark = (says: 'ok' | 'warn' | 'fail'): string =>
  paint(({ ok: 'green', warn: 'yellow', fail: 'red' } as const)[says], says);
