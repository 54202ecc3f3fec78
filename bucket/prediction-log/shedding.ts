import type { Logger } from 'pino';
import type { NewLogRecord } from '../../schemas/index.ts';

/** What is let go, in this order. A label that was acknowledged never is. */
const STEPS = ['nothing', 'shadow scores', 'shadow scores, inputs and lookedUp', 'whole answers'] as const;
const [NOTHING, SHADOW, DETAIL, ANSWER] = [0, 1, 2, 3] as const;
/** Shares of the limit at which a step begins; it ends a little below, so that it does not flutter. */
const BEGINS = [0, 0.5, 0.75, 1];
const ENDS_BELOW = 0.9;
/** From here on a label is not taken, and so not acknowledged: whoever sends it again and again must not fill the memory. */
const LABELS_REFUSED = 2;

/** What is let go of an answer before the whole of it. */
interface Detail {
  inputs?: unknown;
  lookedUp?: unknown;
}

export interface Pressure {
  /** Of the spool's limit, or of the memory's, whichever is more; 1: nothing more may come. */
  fill: number;
  /** The disk takes nothing. */
  refused: string | undefined;
}

/**
 * What the log lets go when it cannot keep up: first shadow scores, then what was put into an answer, then answers. Said
 * once when it begins, once when answers are lost, and once when it ends.
 */
export class Shedding {
  readonly counts = { shadow: 0, detail: 0, answer: 0 };
  readonly #log: Logger | undefined;
  #step = NOTHING as number;
  #worst = NOTHING as number;
  #before = { ...this.counts };

  constructor(log: Logger | undefined) {
    this.#log = log;
  }

  /** What is left of a record under this pressure: itself, less of it, or undefined. */
  pass<T extends object>(kind: NewLogRecord['kind'], record: T & Detail, pressure: Pressure): T | undefined {
    this.look(pressure);
    if (this.#step === NOTHING) return record;
    if (kind === 'label') return pressure.fill < LABELS_REFUSED ? record : undefined;
    if (kind === 'shadow') {
      this.counts.shadow++;
      return undefined;
    }
    if (this.#step === SHADOW) return record;
    if (this.#step === ANSWER) {
      this.counts.answer++;
      return undefined;
    }
    if (record.inputs === undefined && record.lookedUp === undefined) return record;
    this.counts.detail++;
    return { ...record, inputs: undefined, lookedUp: undefined };
  }

  look({ fill, refused }: Pressure): void {
    if (this.#step === NOTHING && refused === undefined && fill < BEGINS[SHADOW]!) return;
    let step = this.#step;
    while (step < ANSWER && fill >= BEGINS[step + 1]!) step++;
    while (step > NOTHING && fill < BEGINS[step]! * ENDS_BELOW) step--;
    if (refused !== undefined && step < DETAIL) step = DETAIL;
    if (step === this.#step) return;
    if (this.#step === NOTHING) this.#before = { ...this.counts };
    this.#step = step;
    if (step === NOTHING) {
      const { shadow, detail, answer } = this.#before;
      const { counts } = this;
      const shed = { shadow: counts.shadow - shadow, detail: counts.detail - detail, answer: counts.answer - answer };
      this.#log?.info({ shed }, 'the prediction log keeps everything again');
      this.#worst = NOTHING;
    } else if (this.#worst === NOTHING || (step === ANSWER && this.#worst < ANSWER)) {
      const why = refused ?? `what waits for the bucket is ${Math.round(100 * fill)} % of what may wait here`;
      this.#log?.[step === ANSWER ? 'error' : 'warn'](
        { shedding: STEPS[step], why },
        'the prediction log lets records go',
      );
      this.#worst = step;
    }
  }
}
