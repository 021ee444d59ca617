/** Short words at the edge of the screen; errors stay until they are closed. */

import { defineStore } from "pinia";
import { ref } from "vue";

export interface Toast {
  id: number;
  kind: "info" | "error";
  text: string;
}

const SHOWN_MS = 4_000;
const AT_ONCE = 3;

export const useToasts = defineStore("toasts", () => {
  const toasts = ref<Toast[]>([]);
  let last = 0;

  function show(text: string, kind: Toast["kind"] = "info"): void {
    const toast = { id: (last += 1), kind, text };
    toasts.value = [...toasts.value, toast].slice(-AT_ONCE);
    if (kind === "info") setTimeout(() => close(toast.id), SHOWN_MS);
  }

  function close(id: number): void {
    toasts.value = toasts.value.filter((toast) => toast.id !== id);
  }

  return { toasts, show, close };
});
