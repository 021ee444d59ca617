/** What the composer understands: text, or a command that begins with a slash. */

import type { PictureWish } from "@/stores/outboxdb";

export interface Command {
  name: "/imagine" | "/help";
  /** Key of its one-line explanation. */
  hint: string;
  /** Whether something follows it. */
  takesText: boolean;
}

export const COMMANDS: readonly Command[] = [
  { name: "/imagine", hint: "command.imagine", takesText: true },
  { name: "/help", hint: "command.help", takesText: false },
];

export type Parsed =
  | { kind: "nothing" }
  | { kind: "message"; text: string }
  | { kind: "picture"; wish: PictureWish }
  | { kind: "help" }
  | { kind: "wrong"; key: string; params?: Record<string, unknown> };

/**
 * What Enter would do with `input`.
 *
 * `/imagine a red fox --seed 7 --no grass`: flags come after the prompt. A slash and a
 * word that is no command is plain text (a path, a joke); `//` at the start says so.
 */
export function parse(input: string): Parsed {
  const text = input.trim();
  if (text === "") return { kind: "nothing" };
  const [, name = "", rest = ""] = /^(\/\p{L}+)(?:\s+([\s\S]*))?$/u.exec(text) ?? [];
  if (name === "/help") return { kind: "help" };
  if (name === "/imagine") return parseImagine(rest);
  return { kind: "message", text: text.startsWith("//") ? text.slice(1) : text };
}

const NUMBERS = {
  seed: { min: 0, max: 2 ** 31 - 1, whole: true },
  steps: { min: 1, max: 50, whole: true },
  guidance: { min: 0, max: 20, whole: false },
} as const;

/** Telephones write two hyphens as a dash; a dash before another word is just a dash. */
const FLAG = /(?:^|\s)(?:--(?=\p{L})|—(?=(?:seed|steps|guidance|no)\b))/u;

function parseImagine(rest: string): Parsed {
  const [prompt = "", ...flags] = rest.split(FLAG);
  if (prompt.trim() === "") return { kind: "wrong", key: "composer.promptMissing" };
  const wish: PictureWish = { prompt: prompt.trim().replace(/\s+/g, " ") };
  for (const flag of flags) {
    const [name = "", ...words] = flag.trim().split(/\s+/);
    const value = words.join(" ");
    if (name === "no" && value) wish.negative = value;
    else if (Object.hasOwn(NUMBERS, name)) {
      const rule = NUMBERS[name as keyof typeof NUMBERS];
      const number = Number(value);
      const fits = value !== "" && number >= rule.min && number <= rule.max;
      if (!fits || (rule.whole && !Number.isInteger(number))) {
        return {
          kind: "wrong",
          key: "composer.flagRange",
          params: { flag: `--${name}`, min: rule.min, max: rule.max },
        };
      }
      wish[name as keyof typeof NUMBERS] = number;
    } else return { kind: "wrong", key: "composer.flagUnknown", params: { flag: `--${name}` } };
  }
  return { kind: "picture", wish };
}

/** Commands that `input` may become: while only the command word is being typed. */
export function suggestions(input: string): readonly Command[] {
  if (!/^\/\p{L}*$/u.test(input)) return [];
  return COMMANDS.filter((command) => command.name.startsWith(input) && command.name !== input);
}

/** Characters as the server counts them: code points, not UTF-16 units. */
export const countCharacters = (text: string): number => {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
};
