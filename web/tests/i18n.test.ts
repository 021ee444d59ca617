import { readdirSync, readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { i18n, loadLanguage, preferredLanguage } from "@/i18n";
import { pluralRules } from "@/i18n/plural";

type Tree = { [key: string]: string | Tree };

const read = (language: string): Tree =>
  JSON.parse(readFileSync(`src/i18n/${language}.json`, "utf8")) as Tree;

function flat(tree: Tree, prefix = ""): Map<string, string> {
  const all = new Map<string, string>();
  for (const [key, value] of Object.entries(tree)) {
    if (typeof value === "string") all.set(prefix + key, value);
    else for (const [inner, text] of flat(value, `${prefix}${key}.`)) all.set(inner, text);
  }
  return all;
}

const messages = { en: flat(read("en")), zh: flat(read("zh")), ru: flat(read("ru")) };
const names = (text: string) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return sources(path);
    return /\.(vue|ts)$/.test(entry.name) ? [readFileSync(path, "utf8")] : [];
  });
}

describe("the languages", () => {
  it.each(["zh", "ru"] as const)("%s says everything that English says, and nothing else", (language) => {
    expect([...messages[language].keys()].sort()).toEqual([...messages.en.keys()].sort());
  });

  it.each(["zh", "ru"] as const)("%s fills in the same values as English", (language) => {
    for (const [key, text] of messages.en) expect(names(messages[language].get(key)!), key).toEqual(names(text));
  });

  it("have as many plural forms as they need", () => {
    const plural = [...messages.en].filter(([, text]) => text.includes(" | ")).map(([key]) => key);
    expect(plural.length).toBeGreaterThan(5);
    for (const key of plural) {
      expect(messages.en.get(key)!.split(" | "), key).toHaveLength(2);
      expect(messages.zh.get(key)!.split(" | "), key).toHaveLength(1);
      expect(messages.ru.get(key)!.split(" | "), key).toHaveLength(3);
    }
  });

  it("know every key that the source names", () => {
    const used = new Set<string>();
    for (const source of sources("src")) {
      for (const [, key] of source.matchAll(/(?<!=)["'`]([a-z]+\.[a-zA-Z_]+)["'`]/g)) {
        if (messages.en.has(key!) || /\bt\(/.test(source)) used.add(key!);
      }
    }
    const sections = new Set([...messages.en.keys()].map((key) => key.split(".")[0]));
    const unknown = [...used].filter(
      (key) => sections.has(key.split(".")[0]!) && !messages.en.has(key) && !/^(member|picture)\.(added|removed|updated|progress)$/.test(key),
    );
    expect(unknown).toEqual([]);
  });

  it("hold no words in templates: all text goes through them", () => {
    const raw: string[] = [];
    for (const source of sources("src")) {
      const template = /<template>([\s\S]*)<\/template>/.exec(source)?.[1] ?? "";
      const text = template
        .replace(/<!--[\s\S]*?-->/g, "")
        .replace(/\{\{[\s\S]*?\}\}/g, "")
        .replace(/<(?:[^"'>]|"[^"]*"|'[^']*')*>/g, "\n");
      raw.push(...text.split("\n").map((line) => line.trim()).filter((line) => /\p{L}{2,}/u.test(line)));
    }
    expect(raw.filter((line) => !["Salon", "Ctrl K"].includes(line))).toEqual([]);
  });
});

describe("plurals", () => {
  it.each([
    [1, "1 участник"],
    [2, "2 участника"],
    [5, "5 участников"],
    [11, "11 участников"],
    [12, "12 участников"],
    [21, "21 участник"],
    [24, "24 участника"],
    [112, "112 участников"],
    [0, "0 участников"],
  ])("in Russian: %i", async (count, said) => {
    await loadLanguage("ru");
    expect(i18n.global.t("chat.members", count)).toBe(said);
  });

  it.each([
    [0, "0 members"],
    [1, "1 member"],
    [2, "2 members"],
  ])("in English: %i", async (count, said) => {
    await loadLanguage("en");
    expect(i18n.global.t("chat.members", count)).toBe(said);
  });

  it("in Chinese there is one form", async () => {
    await loadLanguage("zh");
    expect(i18n.global.t("chat.members", 1)).toBe("1 位成员");
    expect(pluralRules.zh!(5, 1)).toBe(0);
  });
});

describe("a message", () => {
  it("is filled in with what is given, as text", async () => {
    await loadLanguage("en");
    expect(i18n.global.t("join.title", { name: "{Ann} | @Bob" })).toBe("{Ann} | @Bob invites you");
  });

  it("falls back to English where a language lacks it", () => {
    i18n.global.setLocaleMessage("xx", {} as never);
    i18n.global.locale.value = "xx";
    expect(i18n.global.t("action.retry")).toBe("Retry");
    i18n.global.locale.value = "en";
  });
});

describe("the first language", () => {
  it.each([
    ["ru", ["en-GB"], "ru"],
    [null, ["zh-CN", "en"], "zh"],
    [null, ["fr", "ru-RU"], "ru"],
    [null, ["fr"], "en"],
    ["tlh", ["de"], "en"],
  ] as const)("saved %s, browser %j → %s", (saved, wanted, chosen) => {
    expect(preferredLanguage(saved, wanted)).toBe(chosen);
  });
});
