import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { createBar } from '../../cli/bar.ts';

function stream(isTTY: boolean) {
  let text = '';
  const out = new Writable({
    write(chunk, _, done) {
      text += String(chunk);
      done();
    },
  });
  return { out: Object.assign(out, { isTTY, columns: 60 }) as unknown as NodeJS.WriteStream, text: () => text };
}

it('in a pipe the bar is one plain line for each tenth', () => {
  const { out, text } = stream(false);
  const bar = createBar(out);
  for (let tree = 1; tree <= 500; tree++) bar.set(tree, 500, `train ${tree}/500`);
  bar.clear();
  expect(text().split('\n').slice(0, 3)).toEqual(['  0 % train 1/500', ' 10 % train 50/500', ' 20 % train 100/500']);
  expect(text()).not.toContain('\u001b');
});

it('on a terminal it stays on its line, and clear takes it away', () => {
  const { out, text } = stream(true);
  const bar = createBar(out);
  bar.set(250, 500, 'train 250/500  valid loss 0.481');
  bar.clear();
  expect(text()).toContain('50 % train 250/500  valid lo');
  expect(text()).not.toContain('\n');
  expect(text().endsWith('\r\u001b[2K')).toBe(true);
});

it('nothing to do is no progress, not a division by zero', () => {
  const { out, text } = stream(false);
  createBar(out).set(0, 0, 'waiting');
  expect(text()).toBe('  0 % waiting\n');
});
