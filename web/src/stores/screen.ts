/** What is open over the chat: one dialog at a time, the right pane, a picture. */

import { defineStore } from "pinia";
import { ref, shallowRef } from "vue";

import type { PictureEvent } from "@/api/types";

export type DialogName = "new" | "invite" | "switcher" | "help" | "add" | "leave";

export const useScreen = defineStore("screen", () => {
  const dialog = ref<DialogName | null>(null);
  const pane = ref(false);
  const picture = shallowRef<PictureEvent | null>(null);

  const show = (name: DialogName): void => void (dialog.value = name);
  const hide = (name: DialogName): void => {
    if (dialog.value === name) dialog.value = null;
  };

  return { dialog, pane, picture, show, hide };
});
