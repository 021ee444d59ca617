/** What can be chosen in the settings, for menus. */

import { Monitor, Moon, Sun } from "@lucide/vue";
import { computed } from "vue";
import { useI18n } from "vue-i18n";

import { LANGUAGE_NAMES, LANGUAGES, type Language } from "@/i18n";
import { usePreferences, type Theme } from "@/stores/preferences";

export const THEME_ICONS = { system: Monitor, light: Sun, dark: Moon };

/** Each language in its own words. */
const languages = LANGUAGES.map((value) => ({ value, label: LANGUAGE_NAMES[value], lang: value }));

export function useChoices() {
  const { t } = useI18n();
  const preferences = usePreferences();

  const themes = computed(() =>
    (["system", "light", "dark"] as const).map((value) => ({
      value,
      label: t(`settings.${value}`),
      icon: THEME_ICONS[value],
    })),
  );
  const language = computed({
    get: (): string => preferences.language,
    set: (chosen) => void preferences.speak(chosen as Language),
  });
  const theme = computed({
    get: (): string => preferences.theme,
    set: (chosen) => (preferences.theme = chosen as Theme),
  });

  return { languages, themes, language, theme };
}
