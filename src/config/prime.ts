/** Whether n, a safe integer, is prime. Trial division: table sizes are below 2²⁴. */
export function isPrime(n: number): boolean {
  if (n < 4) return n > 1;
  if (n % 2 === 0) return false;
  for (let d = 3; d * d <= n; d += 2) if (n % d === 0) return false;
  return true;
}

/** The least prime that is at least n. */
export function nextPrime(n: number): number {
  let candidate = Math.max(2, n);
  while (!isPrime(candidate)) candidate++;
  return candidate;
}
