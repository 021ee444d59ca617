/** Tokens travel behind `#`, so that they reach no server's log and no Referer. */
export const tokenIn = (hash: string): string =>
  new URLSearchParams(hash.replace(/^#/, "")).get("token") ?? "";
