/** Theme and language of this browser. */

import { defineStore } from "pinia";
import { ref, watch } from "vue";

import { loadLanguage, preferredLanguage, type Language } from "@/i18n";

export type Theme = "system" | "light" | "dark";

function stored(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function store(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // forbidden: it holds until the page is closed
  }
}

export const usePreferences = defineStore("preferences", () => {
  const saved = stored("salon.theme");
  const theme = ref<Theme>(saved === "light" || saved === "dark" ? saved : "system");
  const language = ref<Language>(preferredLanguage(stored("salon.language"), navigator.languages));

  watch(
    theme,
    (chosen) => {
      if (chosen === "system") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = chosen;
      store("salon.theme", chosen);
    },
    { immediate: true },
  );

  async function speak(chosen: Language): Promise<void> {
    await loadLanguage(chosen);
    language.value = chosen;
    store("salon.language", chosen);
  }

  return { theme, language, speak };
});
