import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Problem } from '../../../schemas/index.ts';
import { bookings, post, register, serve, startServing, temporaryStores } from './fixture.ts';

let temporary: Awaited<ReturnType<typeof temporaryStores>>;
let serving: Awaited<ReturnType<typeof startServing>>;

beforeAll(async () => {
  temporary = await temporaryStores();
  await register(temporary.stores, 'bookings', bookings);
  await serve(temporary.stores, 'bookings', { champion: 1 });
  serving = await startServing(temporary.stores);
});
afterAll(async () => {
  await serving.stop();
  await temporary.remove();
});

const names = [...Object.keys(bookings.graph.inputs), 'booking_id', 'rows', '__proto__', 'constructor', 'toString', ''];
const oddities: unknown[] = [
  null,
  '',
  '2017-03-04',
  'City Hotel',
  -1,
  1e308,
  -0,
  2 ** 53,
  '\u0000',
  '\ud800',
  1e-320,
  true,
  [],
  {},
];
const value = fc.oneof(fc.constantFrom(...oddities), fc.jsonValue({ maxDepth: 2 }));
/** A valid row of which some fields are replaced, dropped or added. */
const nearRow = fc.dictionary(fc.constantFrom(...names), fc.option(value, { nil: undefined })).map((changes) => {
  const row: Record<string, unknown> = { ...bookings.warmUpRows[0] };
  for (const [name, changed] of Object.entries(changes))
    Object.defineProperty(row, name, { value: changed, enumerable: true, configurable: true, writable: true });
  return row;
});
const body = fc.oneof(
  nearRow.map((row) => JSON.stringify(row)),
  fc.array(nearRow, { maxLength: 5 }).map((rows) => JSON.stringify({ rows })),
  fc.json(),
  fc.string({ unit: 'binary' }),
);

it('no body is answered with a 5xx, and every refusal is a problem that says something', async () => {
  let answered = 0;
  await fc.assert(
    fc.asyncProperty(body, async (text) => {
      const response = await post(serving.app, '/predict', text);
      const answer = (await response.json()) as { detail?: string };
      if (response.status === 200) answered++;
      else Problem.parse(answer);
      expect([response.status < 500, response.status === 200 || /\w/.test(answer.detail ?? '')]).toEqual([true, true]);
    }),
    { numRuns: 600 },
  );
  expect(answered).toBeGreaterThan(0);
});
