/** What is in each composer, kept over a reload. */

import { defineStore } from "pinia";
import { ref } from "vue";

import type { Id } from "@/api/types";

export const useDrafts = defineStore("drafts", () => {
  const texts = ref<Record<Id, string>>({});
  let key = "";

  function open(me: Id): void {
    key = `salon.drafts.${me}`;
    try {
      texts.value = JSON.parse(localStorage.getItem(key) ?? "{}") as Record<Id, string>;
    } catch {
      texts.value = {};
    }
  }

  function set(conversation: Id, text: string): void {
    if ((texts.value[conversation] ?? "") === text) return;
    if (text) texts.value[conversation] = text;
    else delete texts.value[conversation];
    try {
      localStorage.setItem(key, JSON.stringify(texts.value));
    } catch {
      // full or forbidden: the page's memory has it
    }
  }

  return { texts, open, set };
});
