/**
 * When a replica stops asking a canary that keeps failing, and when it tries again; no workflow is waited for.
 *
 *   closed --5 failures in a row, or half of at least 20 of the last 50--> open --its time--> half open
 *   half open --an answer--> closed        half open --a failure--> open, twice as long, at most 5 minutes
 */
export interface Breaker {
  state: 'closed' | 'open' | 'half-open';
  /** Outcomes of the last attempts, newest last; true: it failed. */
  last: readonly boolean[];
  openedMs: number;
  openForMs: number;
}

const IN_A_ROW = 5;
const REMEMBERED = 50;
const AT_LEAST = 20;
const FIRST_MS = 10_000;
const LONGEST_MS = 300_000;

export const CLOSED: Breaker = { state: 'closed', last: [], openedMs: 0, openForMs: FIRST_MS };

/** Whether the canary may be asked now. One that is half open is asked once: its outcome decides. */
export function mayTry(breaker: Breaker, nowMs: number): { may: boolean; breaker: Breaker } {
  if (breaker.state === 'closed') return { may: true, breaker };
  if (breaker.state === 'open' && nowMs >= breaker.openedMs + breaker.openForMs)
    return { may: true, breaker: { ...breaker, state: 'half-open', openedMs: nowMs } };
  // The one that was let through never came back: after as long again, another may.
  if (breaker.state === 'half-open' && nowMs >= breaker.openedMs + breaker.openForMs)
    return { may: true, breaker: { ...breaker, openedMs: nowMs } };
  return { may: false, breaker };
}

/** The breaker after an attempt. Outcomes of attempts from before it opened change nothing. */
export function afterAttempt(breaker: Breaker, failed: boolean, nowMs: number): Breaker {
  if (breaker.state === 'open') return breaker;
  if (breaker.state === 'half-open')
    return failed
      ? { ...breaker, state: 'open', openedMs: nowMs, openForMs: Math.min(LONGEST_MS, breaker.openForMs * 2) }
      : CLOSED;
  const last = [...breaker.last.slice(1 - REMEMBERED), failed];
  const failures = last.filter(Boolean).length;
  const inARow = last.length >= IN_A_ROW && last.slice(-IN_A_ROW).every(Boolean);
  if (inARow || (last.length >= AT_LEAST && failures * 2 >= last.length))
    return { state: 'open', last, openedMs: nowMs, openForMs: FIRST_MS };
  return { ...breaker, last };
}
