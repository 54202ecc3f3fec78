/** 1 / (1 + e^−x); the exponential of a number ≤ 0 only, so that nothing overflows. */
export function sigmoid(x: number): number {
  if (x >= 0) return 1 / (1 + Math.exp(-x));
  const e = Math.exp(x);
  return e / (1 + e);
}
