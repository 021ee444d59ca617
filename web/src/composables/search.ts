/** Whether every word of `query` begins somewhere in the texts; case and accents aside. */
export function matches(query: string, ...texts: readonly string[]): boolean {
  const hay = plain(texts.join(" "));
  return plain(query)
    .split(/\s+/)
    .every((word) => hay.includes(word));
}

const plain = (text: string): string =>
  text
    .normalize("NFKD")
    .replace(/\p{Mn}/gu, "")
    .toLowerCase()
    .trim();
