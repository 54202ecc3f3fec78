/** Pairs of steps that are remembered. */
const MEMORY = 20;

export interface Minimum {
  at: Float64Array;
  value: number;
  iterations: number;
  /** False if the iterations ran out first. */
  converged: boolean;
}

/**
 * Least value of a smooth convex function: L-BFGS with a preconditioner and a backtracking line search.
 *
 * Ends when another step promises less than `tolerance` (half the Newton decrement), or no step lowers the value any
 * more. Deterministic.
 *
 * @param evaluate      gives the value at x and writes the gradient there
 * @param precondition  turns a gradient, in place, into a Newton-like step: the inverse of a rough Hessian
 * @see Nocedal & Wright 2006, Numerical Optimization, algorithm 7.4 and 7.5
 */
export function minimise(
  evaluate: (x: Float64Array, gradient: Float64Array) => number,
  start: Float64Array,
  precondition: (gradient: Float64Array) => void,
  { maxIterations, tolerance }: { maxIterations: number; tolerance: number },
): Minimum {
  let x = start.slice();
  let gradient: Float64Array = new Float64Array(x.length);
  let value = evaluate(x, gradient);
  const pairs: { step: Float64Array; change: Float64Array; curvature: number }[] = [];

  for (let iterations = 0; ; iterations++) {
    const direction = gradient.slice();
    const weights = pairs.map(() => 0);
    for (let p = pairs.length - 1; p >= 0; p--) {
      const { step, change, curvature } = pairs[p]!;
      weights[p] = dot(step, direction) / curvature;
      addScaled(direction, -weights[p]!, change);
    }
    precondition(direction);
    for (const [p, { step, change, curvature }] of pairs.entries())
      addScaled(direction, weights[p]! - dot(change, direction) / curvature, step);

    const slope = -dot(gradient, direction);
    if (!(slope < 0) || -slope / 2 < tolerance) return { at: x, value, iterations, converged: true };
    if (iterations === maxIterations) return { at: x, value, iterations, converged: false };

    const next = new Float64Array(x.length);
    const nextGradient = new Float64Array(x.length);
    let nextValue = Infinity;
    let length = 1;
    let accepted = false;
    for (; !accepted && length > 1e-10; length /= 2) {
      for (let i = 0; i < x.length; i++) next[i] = x[i]! - length * direction[i]!;
      nextGradient.fill(0);
      nextValue = evaluate(next, nextGradient);
      accepted =
        nextValue <= value + 1e-4 * length * slope ||
        // Near the minimum the value's last bits are noise; its slope along the step still tells.
        (nextValue <= value + 1e-12 * Math.abs(value) && -dot(nextGradient, direction) <= -0.9 * slope);
    }
    if (!accepted) return { at: x, value, iterations, converged: true };

    const step = next.map((xi, i) => xi - x[i]!);
    const change = nextGradient.map((gi, i) => gi - gradient[i]!);
    const curvature = dot(step, change);
    if (curvature > 0) pairs.push({ step, change, curvature });
    if (pairs.length > MEMORY) pairs.shift();
    x = next;
    gradient = nextGradient;
    value = nextValue;
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function addScaled(into: Float64Array, by: number, other: Float64Array): void {
  for (let i = 0; i < into.length; i++) into[i]! += by * other[i]!;
}
