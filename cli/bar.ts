import { styleText } from 'node:util';

export interface Bar {
  /** Shows `done` of `of`, and a few words beside it. */
  set(done: number, of: number, words: string): void;
  /** Takes the bar off the screen, so that a line can be written. */
  clear(): void;
}

const WIDTH = 24;

/** A progress bar on a terminal; elsewhere a plain line at each tenth, so that a log stays readable. */
export function createBar(stream: NodeJS.WriteStream = process.stderr): Bar {
  let tenth = -1;
  let shown = false;
  const clear = () => {
    if (shown) stream.write('\r\u001b[2K');
    shown = false;
  };
  return {
    clear,
    set(done, of, words) {
      const share = of > 0 ? Math.min(1, done / of) : 0;
      if (stream.isTTY) {
        const full = Math.round(share * WIDTH);
        const bar = styleText('cyan', '█'.repeat(full), { stream }) + '░'.repeat(WIDTH - full);
        const room = Math.max(0, (stream.columns || 80) - WIDTH - 8);
        stream.write(`\r\u001b[2K${bar} ${`${Math.floor(share * 100)}`.padStart(3)} % ${words.slice(0, room)}`);
        shown = true;
      } else if (Math.floor(share * 10) !== tenth) {
        tenth = Math.floor(share * 10);
        stream.write(`${`${Math.floor(share * 100)}`.padStart(3)} % ${words}\n`);
      }
    },
  };
}
