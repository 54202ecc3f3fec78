import { expect, it } from 'vitest';
import { formatTable } from '../../cli/table.ts';

it('columns are aligned, numbers to the right, what is absent is a dash', () => {
  expect(
    formatTable(
      ['MODEL', 'N'],
      [
        ['churn', 2],
        ['hotel', undefined],
        ['x', 10],
      ],
    ),
  ).toBe('MODEL   N\nchurn   2\nhotel   -\nx      10');
});

it('colour does not count as width', () => {
  expect(
    formatTable(
      ['A', 'B'],
      [
        ['\u001b[32mok\u001b[39m', 'x'],
        ['fail', 'y'],
      ],
    ),
  ).toBe('A     B\n\u001b[32mok\u001b[39m    x\nfail  y');
});

it('the last column is shortened to the width of the terminal', () => {
  expect(formatTable(['A', 'WHY'], [['x', 'a very long reason indeed']], { width: 20 })).toBe(
    'A  WHY\nx  a very long reas…',
  );
});
