/**
 * One conversation's history on the screen: which lines, where it opens, when it
 * sticks to the end, what is fetched, what has been read.
 *
 * It opens at the first unread message (or at the end), sticks to the end while the
 * reader is there, and otherwise never moves by itself.
 */

import type { VirtualizerHandle } from "virtua/vue";
import { computed, nextTick, onMounted, onScopeDispose, ref, watch, type Ref } from "vue";

import type { ChatEvent, Id } from "@/api/types";
import { useConversations } from "@/stores/conversations";
import { unread } from "@/stores/folding";
import { useOutbox } from "@/stores/outbox";
import { useSession } from "@/stores/session";
import { lastSeq } from "@/stores/timeline";

import { useReading } from "./reading";
import { buildRows, isSpoken, seqOf, type Row } from "./rows";

const NEAR_END_PX = 64;
const NEAR_START_PX = 900;
const ENOUGH_EVENTS = 30;
/** What is above the "New" line when the history opens there. */
const CONTEXT_PX = 96;

export function useHistory(
  id: Id,
  scroller: Ref<HTMLElement | undefined>,
  virtualizer: Ref<VirtualizerHandle | undefined>,
  onArrival: (event: ChatEvent) => void,
) {
  const conversations = useConversations();
  const outbox = useOutbox();
  const session = useSession();

  const me = computed(() => session.me?.user.id ?? "");
  const head = computed(() => conversations.heads.get(id));
  const timeline = computed(() => conversations.timelines.get(id));
  const ready = ref(false);
  const atEnd = ref(true);
  const activeKey = ref("");

  // --- lines

  const first = head.value;
  const newFrom = ref<number | null>(first && unread(first) > 0 ? first.read_seq + 1 : null);
  const complete = computed(() => timeline.value !== undefined && !conversations.hasOlder(id));

  const rows = computed<Row[]>(() =>
    buildRows({
      events: timeline.value?.events ?? [],
      pending: outbox.byConversation.get(id) ?? [],
      me: me.value,
      newFrom: newFrom.value,
      complete: complete.value,
    }),
  );
  const below = computed(() => (head.value ? unread(head.value) : 0));
  const loadingOlder = computed(() => conversations.older.get(id));

  // an older page came: hold the position from the end, for this one update
  const shift = ref(false);
  watch(
    () => timeline.value?.first ?? 0,
    (now, before) => (shift.value = now < before),
    { flush: "sync" },
  );
  watch(rows, () => void nextTick(() => (shift.value = false)), { flush: "post" });

  // --- position

  /** While the end is being sought, positions in between say nothing about the reader. */
  let seeking = 0;

  function toEnd(): void {
    atEnd.value = true;
    seeking += 1;
    virtualizer.value?.scrollToIndex(rows.value.length - 1, { align: "end" });
    // heights are known only once the lines are there: again in the next frames
    requestAnimationFrame(() => {
      bottom();
      requestAnimationFrame(() => {
        bottom();
        seeking -= 1;
      });
    });
  }

  function bottom(): void {
    if (atEnd.value && scroller.value) scroller.value.scrollTop = scroller.value.scrollHeight;
  }

  async function open(): Promise<void> {
    if (newFrom.value !== null) await conversations.reach(id, newFrom.value);
    if ((timeline.value?.events.length ?? 0) < ENOUGH_EVENTS) await conversations.loadOlder(id);
    ready.value = true;
    await nextTick();
    const line = rows.value.findIndex((row) => row.kind === "new");
    if (line > 0) {
      atEnd.value = false;
      virtualizer.value?.scrollToIndex(line, { align: "start", offset: -CONTEXT_PX });
      requestAnimationFrame(measure);
    } else toEnd();
    reading.look();
  }

  let offsetBefore = 0;

  /** At the end or not. Only a reader who scrolls up leaves it; lines that grow do not. */
  function measure(): void {
    const view = virtualizer.value;
    if (!view || seeking > 0) return;
    const near = view.scrollOffset + view.viewportSize >= view.scrollSize - NEAR_END_PX;
    if (near) atEnd.value = true;
    else if (view.scrollOffset < offsetBefore - 1) atEnd.value = false;
    offsetBefore = view.scrollOffset;
  }

  /** Lines were measured, or the room became narrower. */
  function onResize(): void {
    if (ready.value) bottom();
  }

  function onScroll(offset: number): void {
    if (!ready.value) return;
    measure();
    if (offset < NEAR_START_PX && loadingOlder.value === undefined) void conversations.loadOlder(id);
    reading.look();
  }

  watch(
    rows,
    () => {
      if (ready.value && atEnd.value) void nextTick(toEnd);
      reading.look();
    },
    { flush: "post" },
  );

  // --- reading

  /** The newest `seq` of which at least half is in view. */
  function newestInView(): number {
    const view = virtualizer.value;
    if (!view || !ready.value) return 0;
    const bottom = view.scrollOffset + view.viewportSize;
    for (let i = Math.min(view.findItemIndex(bottom), rows.value.length - 1); i >= 0; i -= 1) {
      const seq = seqOf(rows.value[i]!);
      if (seq === 0) continue;
      const half = Math.min(view.getItemSize(i), view.viewportSize) / 2;
      if (view.getItemOffset(i) + half <= bottom) return lastHiddenAfter(seq);
    }
    return 0;
  }

  /** Events that show no line of their own (a picture's end) go with the one before. */
  function lastHiddenAfter(seq: number): number {
    const events = timeline.value?.events ?? [];
    let i = seq - (timeline.value?.first ?? 0);
    while (events[i + 1]?.type === "picture.updated") i += 1;
    return events[i]?.seq ?? seq;
  }

  const reading = useReading(newestInView, (seq) => conversations.markRead(id, seq));

  // --- arrivals

  watch(
    () => (timeline.value ? lastSeq(timeline.value) : 0),
    (_, before) => {
      const fresh = (timeline.value?.events ?? []).filter((event) => event.seq > before);
      for (const event of fresh) {
        onArrival(event);
        if (event.n === null) continue;
        if (event.sender === me.value) newFrom.value = null;
        else if (newFrom.value === null && (!document.hasFocus() || !atEnd.value)) {
          newFrom.value = event.seq;
        }
      }
    },
  );
  // one's own sending is at the end: go there
  watch(
    () => outbox.byConversation.get(id)?.length ?? 0,
    (now, before) => {
      if (now > before) {
        newFrom.value = null;
        void nextTick(toEnd);
      }
    },
  );

  /** Esc: everything here is read, the line goes. */
  function readAll(): void {
    newFrom.value = null;
    conversations.markRead(id, head.value?.last_seq ?? 0);
    toEnd();
  }

  // --- moving by keys

  function move(delta: 1 | -1): void {
    const view = virtualizer.value;
    if (!view) return;
    let i = rows.value.findIndex((row) => row.key === activeKey.value);
    if (i < 0) i = view.findItemIndex(view.scrollOffset + view.viewportSize) + (delta > 0 ? 0 : 1);
    do i += delta;
    while (rows.value[i] && !isSpoken(rows.value[i]!));
    const row = rows.value[i];
    if (!row) return;
    activeKey.value = row.key;
    view.scrollToIndex(i, { align: "nearest" });
    void nextTick(() => {
      requestAnimationFrame(() => {
        document.getElementById(rowId(row.key))?.focus({ preventScroll: true });
      });
    });
  }

  let observer: ResizeObserver | undefined;
  onMounted(() => {
    // a keyboard that slides in, a composer that grows: stay at the end
    observer = new ResizeObserver(() => {
      if (ready.value && atEnd.value) toEnd();
    });
    if (scroller.value) observer.observe(scroller.value);
    void open();
  });
  onScopeDispose(() => observer?.disconnect());

  return { head, rows, ready, shift, atEnd, below, activeKey, loadingOlder, onScroll, onResize, toEnd, readAll, move };
}

export const rowId = (key: string): string => `row-${key}`;
