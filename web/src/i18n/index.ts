/** Three languages; English is in the first load, the others come when chosen. */

import { registerMessageCompiler } from "@intlify/core-base";
import { createI18n } from "vue-i18n";

import { compile } from "./compile";
import en from "./en.json";
import { pluralRules } from "./plural";

export const LANGUAGES = ["en", "zh", "ru"] as const;
export type Language = (typeof LANGUAGES)[number];

/** Each in its own words. */
export const LANGUAGE_NAMES: Record<Language, string> = {
  en: "English",
  zh: "中文",
  ru: "Русский",
};

registerMessageCompiler(compile);

export const i18n = createI18n({
  legacy: false,
  locale: "en" as string,
  fallbackLocale: "en",
  messages: { en } as Record<string, typeof en>,
  pluralRules,
});

const load: Record<Exclude<Language, "en">, () => Promise<{ default: unknown }>> = {
  zh: () => import("./zh.json"),
  ru: () => import("./ru.json"),
};

/** Fetch what the language needs and show the page in it. */
export async function loadLanguage(language: Language): Promise<void> {
  if (language !== "en" && !i18n.global.availableLocales.includes(language)) {
    i18n.global.setLocaleMessage(language, (await load[language]()).default as typeof en);
  }
  i18n.global.locale.value = language;
  document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
}

/** The saved language, or the first of the browser's that is spoken here. */
export function preferredLanguage(saved: string | null, wanted: readonly string[]): Language {
  const spoken = [saved ?? "", ...wanted].map((tag) => tag.slice(0, 2).toLowerCase());
  return LANGUAGES.find((language) => language === spoken.find(isSpoken)) ?? "en";
}

const isSpoken = (tag: string): boolean => (LANGUAGES as readonly string[]).includes(tag);
