/** Keys that work anywhere in the chat. */

import { onMounted, onUnmounted } from "vue";

export interface ShortcutActions {
  switcher(): void;
  neighbour(delta: 1 | -1, unreadOnly: boolean): void;
  help(): void;
  readAll(): void;
}

export type Shortcut = "switcher" | "next" | "previous" | "nextUnread" | "previousUnread" | "help" | "read";

/** What a key means; single characters only in the history (WCAG 2.2, 2.1.4). */
export function shortcutOf(
  event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey">,
  inHistory: boolean,
): Shortcut | null {
  const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
  if ((ctrlKey || metaKey) && !altKey && key.toLowerCase() === "k") return "switcher";
  if (altKey && !ctrlKey && !metaKey && (key === "ArrowDown" || key === "ArrowUp")) {
    if (key === "ArrowDown") return shiftKey ? "nextUnread" : "next";
    return shiftKey ? "previousUnread" : "previous";
  }
  if (key === "Escape") return "read";
  if (key === "?" && inHistory && !ctrlKey && !metaKey) return "help";
  return null;
}

export function useShortcuts(actions: ShortcutActions, blocked: () => boolean): void {
  function onKey(event: KeyboardEvent): void {
    const inHistory = event.target instanceof Element && event.target.closest('[role="log"]') !== null;
    const shortcut = shortcutOf(event, inHistory);
    if (!shortcut || (blocked() && shortcut !== "switcher")) return;
    if (shortcut === "read" && event.defaultPrevented) return;
    if (shortcut !== "read") event.preventDefault();
    if (shortcut === "switcher") actions.switcher();
    else if (shortcut === "help") actions.help();
    else if (shortcut === "read") actions.readAll();
    else
      actions.neighbour(
        shortcut.startsWith("next") ? 1 : -1,
        shortcut === "nextUnread" || shortcut === "previousUnread",
      );
  }
  onMounted(() => addEventListener("keydown", onKey));
  onUnmounted(() => removeEventListener("keydown", onKey));
}
