import { styleText } from 'node:util';

/** Where the story is told: lines that stay, and on a terminal one under them that is redrawn. */
export interface Screen {
  /** Characters that a line may have. */
  readonly width: number;
  heading(text: string): void;
  line(text: string): void;
  /** What is going on, while it goes on. In a pipe it is told every `everyMs`. */
  live(text: string): void;
}

const NARROWEST = 60;
const WIDEST = 130;

export function createScreen(stream: NodeJS.WriteStream = process.stdout, o: { everyMs?: number } = {}): Screen {
  const { everyMs = 15_000 } = o;
  let shown = false;
  let toldAt = performance.now();
  const clear = () => {
    if (shown) stream.write('\r\u001b[2K');
    shown = false;
  };
  const line = (text: string) => {
    clear();
    stream.write(`${text}\n`);
  };
  const width = Math.min(WIDEST, Math.max(NARROWEST, stream.isTTY ? stream.columns || 80 : WIDEST));
  return {
    width,
    line,
    heading: (text) => line(`\n${styleText('bold', text, { stream })}`),
    live(text) {
      if (stream.isTTY) {
        clear();
        stream.write(styleText('dim', text.slice(0, width - 1), { stream }));
        shown = true;
      } else if (performance.now() - toldAt >= everyMs) {
        toldAt = performance.now();
        line(text);
      }
    },
  };
}
