/**
 * HTML entities in message text, one at a time (stands in for the package `entities`,
 * whose table of 2,231 names is a tenth of the first load): numbers, and the few names
 * that people type. Any other stays as it is written.
 */

const NAMED: Record<string, string> = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", shy: "\u00ad",
  copy: "©", reg: "®", trade: "™", hellip: "…", mdash: "—", ndash: "–",
  laquo: "«", raquo: "»", ldquo: "“", rdquo: "”", lsquo: "‘", rsquo: "’",
  euro: "€", pound: "£", deg: "°", times: "×", middot: "·", larr: "←", rarr: "→",
};

export function decodeHTMLStrict(entity: string): string {
  const [, hex, decimal, name] = /^&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|(\w+));$/i.exec(entity) ?? [];
  if (name !== undefined) return Object.hasOwn(NAMED, name) ? NAMED[name]! : entity;
  const code = hex !== undefined ? parseInt(hex, 16) : Number(decimal);
  const valid = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
  return valid ? String.fromCodePoint(code) : entity;
}
