/** The fraction, 0 to 1, of a percentage such as "5%" or "0.25%"; undefined for any other text. */
export function parsePercent(text: string): number | undefined {
  const match = /^(\d{1,3}(?:\.\d{1,9})?)%$/.exec(text);
  const fraction = match ? Number(match[1]) / 100 : Number.NaN;
  return fraction <= 1 ? fraction : undefined;
}
