/** Copying, and giving typed text back rather than losing it. */

import { useI18n } from "vue-i18n";

import { useDrafts } from "@/stores/drafts";
import { useOutbox } from "@/stores/outbox";
import type { OutboxEntry } from "@/stores/outboxdb";
import { useToasts } from "@/stores/toasts";

/** What one would type to send this again. */
export function typedAs(wish: OutboxEntry["wish"]): string {
  if (wish.kind === "message") return wish.text.startsWith("/") ? `/${wish.text}` : wish.text;
  const flags = [
    wish.negative && ` --no ${wish.negative}`,
    wish.seed !== undefined && ` --seed ${wish.seed}`,
    wish.steps !== undefined && ` --steps ${wish.steps}`,
    wish.guidance !== undefined && ` --guidance ${wish.guidance}`,
  ];
  return `/imagine ${wish.prompt}${flags.filter(Boolean).join("")}`;
}

/** Give up a refused entry; its text goes back to an empty composer. */
export function giveBack(entry: OutboxEntry): void {
  const drafts = useDrafts();
  useOutbox().discard(entry.client_id);
  if (!(drafts.texts[entry.conversation] ?? "").trim()) {
    drafts.set(entry.conversation, typedAs(entry.wish));
  }
}

export function useCopy() {
  const { t } = useI18n();
  const toasts = useToasts();
  return async (text: string): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      toasts.show(t("action.copied"));
    } catch {
      // plain http on another host than loopback has no clipboard
      toasts.show(t("error.clipboard"), "error");
    }
  };
}
