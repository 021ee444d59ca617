import { useI18n } from "vue-i18n";

import type { PictureNote } from "@/api/types";

/** What a model tells of its picture: by code, else in the model's English. */
export function useNotes() {
  const { t, te } = useI18n();

  return function sentence(note: PictureNote): string {
    const key = `note.${note.code}`;
    return te(key) || te(key, "en") ? t(key, { ...note.params }) : note.message;
  };
}
