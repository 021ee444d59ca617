/**
 * How long to wait before the next attempt, in milliseconds.
 *
 * Full jitter (Brooker, "Exponential Backoff and Jitter", AWS 2015): a uniform draw
 * below a doubling ceiling, so that a thousand pages do not come back in one moment.
 * A server that said it restarts (close 1001 or 1012) gets 0.5 to 3 s.
 */
export function backoff(
  attempt: number,
  closeCode: number | null,
  random: () => number = Math.random,
): number {
  if (attempt <= 1 && (closeCode === 1012 || closeCode === 1001)) return 500 + 2_500 * random();
  if (closeCode === 4408 && attempt <= 1) return 200 + 800 * random();
  const ceiling = Math.min(CEILING_MS, FIRST_MS * 2 ** Math.min(attempt - 1, 10));
  return FLOOR_MS + (ceiling - FLOOR_MS) * random();
}

const FLOOR_MS = 250;
const FIRST_MS = 1_000;
const CEILING_MS = 20_000;
