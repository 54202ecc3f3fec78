import { describe, expect, it } from 'vitest';
import type { LogDay } from '../../../cli/demo/bookings.ts';
import { Player, quantileMs } from '../../../cli/demo/player.ts';

interface Sent {
  path: string;
  time: string | null;
  body: string;
}

const DAYS: LogDay[] = [
  { date: '2016-07-01', rows: [{ booking_id: '1' }, { booking_id: '2' }, { booking_id: '3' }], labels: [] },
  {
    date: '2016-07-02',
    rows: [{ booking_id: '4' }],
    labels: [
      { booking_id: '1', labelId: 'outcome-1', happenedAt: '2016-07-02', knownAt: '2016-07-02', value: true },
      { booking_id: '4', labelId: 'outcome-4', happenedAt: '2016-07-02', knownAt: '2016-07-02', value: false },
    ],
  },
  { date: '2016-07-03', rows: [], labels: [] },
];

function played(days: LogDay[], answer: (sent: Sent) => Response = () => Response.json({})) {
  const sent: Sent[] = [];
  const player = new Player({
    url: 'http://demo',
    model: 'hotel-cancellations',
    days,
    fetch: async (input, init) => {
      const one = {
        path: (input as string).slice('http://demo/v1/models/hotel-cancellations/'.length),
        time: new Headers(init!.headers).get('x-gauntlet-event-time'),
        body: init!.body as string,
      };
      sent.push(one);
      return answer(one);
    },
  });
  return { player, sent };
}

const signal = new AbortController().signal;

describe('days in a burst', () => {
  it('each has its bookings in one request at its date, and then what became known on it', async () => {
    const { player, sent } = played(DAYS);
    await player.replay({ daysPerSecond: 1000, until: '2017-01-01', signal });
    expect(sent.map(({ path, time }) => [path, time])).toEqual([
      ['predict', '2016-07-01'],
      ['predict', '2016-07-02'],
      ['feedback', null],
    ]);
    expect(JSON.parse(sent[0]!.body)).toEqual({ rows: DAYS[0]!.rows });
    expect(sent[2]!.body.split('\n').map((line) => JSON.parse(line) as unknown)).toEqual(DAYS[1]!.labels);
    expect(player.tally).toMatchObject({ days: 3, requests: 3, rows: 4, labels: 2, failed: 0 });
    expect(player.isOver).toBe(true);
  });

  it('ends before the day that it is to end before, and goes on from there', async () => {
    const { player, sent } = played(DAYS);
    await player.replay({ daysPerSecond: 1000, until: '2016-07-02', signal });
    expect(player.date).toBe('2016-07-01');
    await player.replay({ daysPerSecond: 1000, until: '2017-01-01', signal });
    expect(sent.map(({ time }) => time)).toEqual(['2016-07-01', '2016-07-02', null]);
  });

  it('a day of many bookings is several requests, none above what one may carry', async () => {
    const rows = Array.from({ length: 240 }, (_, i) => ({ booking_id: String(i) }));
    const { player, sent } = played([{ date: '2016-07-01', rows, labels: [] }]);
    await player.replay({ daysPerSecond: 1000, until: '2017-01-01', signal });
    expect(sent.map(({ body }) => (JSON.parse(body) as { rows: unknown[] }).rows.length)).toEqual([100, 100, 40]);
    expect(player.tally.rows).toBe(240);
  });

  it('keeps its pace', async () => {
    const { player } = played(DAYS);
    const from = performance.now();
    await player.replay({ daysPerSecond: 20, until: '2017-01-01', signal });
    expect(performance.now() - from).toBeGreaterThanOrEqual(145);
  });
});

it('the log waits while it is ahead of whoever reads it', async () => {
  const { player, sent } = played(DAYS);
  let ahead = true;
  const replaying = player.replay({ daysPerSecond: 1000, until: '2017-01-01', signal, isAhead: () => ahead });
  await new Promise((done) => setTimeout(done, 120));
  expect(sent).toEqual([]);
  ahead = false;
  await replaying;
  expect(player.isOver).toBe(true);
});

describe('live traffic', () => {
  it('is one booking a request, with the outcomes at the end of each day', async () => {
    const { player, sent } = played(DAYS);
    await player.live({ requestsPerSecond: 10_000, signal });
    expect(sent.map(({ path, time }) => [path, time])).toEqual([
      ['predict', '2016-07-01'],
      ['predict', '2016-07-01'],
      ['predict', '2016-07-01'],
      ['predict', '2016-07-02'],
      ['feedback', null],
    ]);
    expect(JSON.parse(sent[3]!.body)).toEqual({ booking_id: '4' });
  });

  it('stopped in the middle of a day it goes on from there: every booking once, every outcome once', async () => {
    const stop = new AbortController();
    const { player, sent } = played(DAYS, () => {
      stop.abort();
      return Response.json({});
    });
    await player.live({ requestsPerSecond: 10_000, signal: stop.signal });
    const before = sent.length;
    await player.replay({ daysPerSecond: 1000, until: '2017-01-01', signal });
    expect(before).toBeLessThan(4);
    const bookings = sent
      .filter(({ path }) => path === 'predict')
      .flatMap(({ body }) => {
        const asked = JSON.parse(body) as { booking_id: string; rows?: { booking_id: string }[] };
        return asked.rows ?? [asked];
      });
    expect(bookings.map(({ booking_id }) => booking_id)).toEqual(['1', '2', '3', '4']);
    expect(player.tally.labels).toBe(2);
  });
});

describe('the tally', () => {
  it('counts who answered, by the split and by version', async () => {
    let n = 0;
    const { player } = played(DAYS, () =>
      Response.json(
        {},
        {
          headers:
            n++ === 1
              ? { 'x-gauntlet-assigned': 'canary', 'x-gauntlet-version': '2' }
              : { 'x-gauntlet-assigned': 'champion', 'x-gauntlet-version': '1' },
        },
      ),
    );
    await player.live({ requestsPerSecond: 10_000, signal });
    expect(player.tally).toMatchObject({ assigned: { champion: 3, canary: 1 }, versions: { 1: 3, 2: 1 } });
  });

  it.each<[string, () => Response, RegExp]>([
    ['another status', () => Response.json({ title: 'Starting' }, { status: 503 }), /predict: 503 .*Starting/],
    [
      'nobody',
      () => {
        throw new TypeError('fetch failed', { cause: new Error('ECONNREFUSED') });
      },
      /predict: no answer \(ECONNREFUSED\)/,
    ],
    [
      'a row without an answer',
      () => Response.json({ predictions: [{ booking_id: '1', error: 'not finite' }] }),
      /predict: 200 "error":"not finite"/,
    ],
  ])('a request that %s answers is counted, and told in words', async (_, answer, says) => {
    const { player } = played(DAYS.slice(0, 1), answer);
    await player.replay({ daysPerSecond: 1000, until: '2017-01-01', signal });
    expect(player.tally).toMatchObject({ requests: 1, failed: 1, rows: 0 });
    expect(player.tally.firstFailures).toEqual([expect.stringMatching(says)]);
  });
});

it('a quantile of latencies is one of them; of none it is nothing', () => {
  expect(quantileMs([3, 1, 2], 0.5)).toBe(2);
  expect(quantileMs([3, 1, 2], 1)).toBe(3);
  expect(quantileMs([], 0.99)).toBeUndefined();
});
