/** Keys that work anywhere in the chat. */

import { onMounted, onUnmounted } from "vue";

export interface ShortcutActions {
  switcher(): void;
  neighbour(delta: 1 | -1, unreadOnly: boolean): void;
  help(): void;
  readAll(): void;
}

export type Shortcut = "switcher" | "next" | "previous" | "nextUnread" | "previousUnread" | "help" | "read";

/** What a key means here; single characters mean nothing where one types. */
export function shortcutOf(
  event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey">,
  typing: boolean,
): Shortcut | null {
  const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
  if ((ctrlKey || metaKey) && !altKey && key.toLowerCase() === "k") return "switcher";
  if (altKey && !ctrlKey && !metaKey && (key === "ArrowDown" || key === "ArrowUp")) {
    if (key === "ArrowDown") return shiftKey ? "nextUnread" : "next";
    return shiftKey ? "previousUnread" : "previous";
  }
  if (key === "Escape") return "read";
  if (key === "?" && !typing && !ctrlKey && !metaKey) return "help";
  return null;
}

export function useShortcuts(actions: ShortcutActions, blocked: () => boolean): void {
  function onKey(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    const typing = target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
    const shortcut = shortcutOf(event, typing);
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
