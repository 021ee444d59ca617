/**
 * Marks read what was really seen: in view for half a second, in a window that has
 * the focus. (Zulip #10886: people resent it when a glance at a list marks more.)
 */

import { onScopeDispose } from "vue";

const SEEN_MS = 500;

/** What was in view then and is in view now was in view in between. */
export const seenBoth = (then: number, now: number): number => Math.min(then, now);

export function useReading(newestInView: () => number, read: (seq: number) => void) {
  let pending: { seq: number; timer: ReturnType<typeof setTimeout> } | null = null;

  const attentive = () => document.hasFocus() && document.visibilityState === "visible";

  /** Something moved: scrolled, arrived, focused. */
  function look(): void {
    if (pending || !attentive()) return;
    const seq = newestInView();
    if (seq <= 0) return;
    pending = { seq, timer: setTimeout(judge, SEEN_MS) };
  }

  function judge(): void {
    const before = pending?.seq ?? 0;
    pending = null;
    if (!attentive()) return;
    const now = newestInView();
    const seen = seenBoth(before, now);
    if (seen > 0) read(seen);
    if (now > seen) look();
  }

  function leave(): void {
    if (pending) clearTimeout(pending.timer);
    pending = null;
  }

  addEventListener("focus", look);
  addEventListener("blur", leave);
  document.addEventListener("visibilitychange", look);
  onScopeDispose(() => {
    leave();
    removeEventListener("focus", look);
    removeEventListener("blur", leave);
    document.removeEventListener("visibilitychange", look);
  });

  return { look };
}
