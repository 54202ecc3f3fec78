import { describe, expect, it } from 'vitest';
import { afterAttempt, CLOSED, mayTry, type Breaker } from '../../policies/index.ts';

const attempts = (outcomes: boolean[], from: Breaker = CLOSED, nowMs = 0): Breaker =>
  outcomes.reduce((breaker, failed) => afterAttempt(breaker, failed, nowMs), from);
const times = (n: number, failed: boolean): boolean[] => Array.from({ length: n }, () => failed);

describe('the breaker of a canary', () => {
  it('opens at five failures in a row, not at four', () => {
    expect(attempts(times(4, true)).state).toBe('closed');
    expect(attempts(times(5, true)).state).toBe('open');
    expect(attempts([...times(4, true), false, ...times(4, true)]).state).toBe('closed');
  });

  it('opens when half of at least twenty fail', () => {
    const half = Array.from({ length: 20 }, (_, i) => i % 2 === 0);
    expect(attempts(half.slice(0, 19)).state).toBe('closed');
    expect(attempts(half).state).toBe('open');
    expect(attempts(Array.from({ length: 200 }, (_, i) => i % 3 === 0)).state).toBe('closed');
  });

  it('lets one through after its time, and closes on an answer', () => {
    const open = attempts(times(5, true));
    expect(mayTry(open, 9_999).may).toBe(false);
    const { may, breaker } = mayTry(open, 10_000);
    expect(may).toBe(true);
    expect(mayTry(breaker, 10_001).may).toBe(false);
    expect(afterAttempt(breaker, false, 10_002)).toBe(CLOSED);
  });

  it('stays open twice as long after another failure, at most five minutes', () => {
    let breaker = attempts(times(5, true));
    let now = 0;
    const waits: number[] = [];
    for (let i = 0; i < 8; i++) {
      waits.push(breaker.openForMs);
      now = breaker.openedMs + breaker.openForMs;
      breaker = afterAttempt(mayTry(breaker, now).breaker, true, now);
    }
    expect(waits).toEqual([10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000]);
  });

  it('lets another through where the one that was let through never came back', () => {
    const half = mayTry(attempts(times(5, true)), 10_000).breaker;
    expect(mayTry(half, 19_999).may).toBe(false);
    expect(mayTry(half, 20_000).may).toBe(true);
  });

  it('lets everything through while it is closed', () => {
    expect(mayTry(CLOSED, 0)).toEqual({ may: true, breaker: CLOSED });
  });

  it('is not moved by late outcomes of attempts from before it opened', () => {
    const open = attempts(times(5, true));
    expect(afterAttempt(open, false, 1)).toBe(open);
  });
});
