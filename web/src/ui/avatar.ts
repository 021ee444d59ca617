/** Initials and a colour that stay the same for the same id. */

export function initials(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const first = firstGrapheme(words[0] ?? "");
  // one character of Chinese, Japanese or Korean says enough
  const second = words.length > 1 && !/\p{Script=Han}/u.test(first) ? firstGrapheme(words.at(-1)!) : "";
  return (first + second).toLocaleUpperCase();
}

function firstGrapheme(word: string): string {
  return [...word][0] ?? "";
}

/** Eight wall colours, each with white letters at ≥ 4.5 : 1. */
const COLOURS = [
  "bg-[#9c4221]",
  "bg-[#85561b]",
  "bg-[#5f6b1c]",
  "bg-[#24704a]",
  "bg-[#1c6b78]",
  "bg-[#2f5ea3]",
  "bg-[#6d4fa3]",
  "bg-[#a03a6b]",
] as const;

export function colourOf(id: string): string {
  let hash = 7;
  for (const character of id) hash = (hash * 31 + character.charCodeAt(0)) >>> 0;
  return COLOURS[hash % COLOURS.length]!;
}

/** The same walls as letters: names of senders in a group. */
const NAME_COLOURS = [
  "text-[light-dark(#9c4221,#f0a584)]",
  "text-[light-dark(#85561b,#e2b878)]",
  "text-[light-dark(#5f6b1c,#c5d077)]",
  "text-[light-dark(#24704a,#86d0a8)]",
  "text-[light-dark(#1c6b78,#7fcbd8)]",
  "text-[light-dark(#2f5ea3,#9dc0f5)]",
  "text-[light-dark(#6d4fa3,#c4aef0)]",
  "text-[light-dark(#a03a6b,#f0a3c6)]",
] as const;

export function nameColourOf(id: string): string {
  return NAME_COLOURS[COLOURS.indexOf(colourOf(id) as (typeof COLOURS)[number])]!;
}
