/**
 * The conversations of this user: heads (who, counters) and timelines (what).
 *
 * Everything that happened comes in through `ingest`, whatever road it took, and the
 * rest of the page follows from what was *applied*: the outbox forgets what became an
 * event, progress of an ended picture stops, who has spoken writes no more.
 */

import { defineStore } from "pinia";
import { computed, reactive, ref, shallowReactive } from "vue";

import * as api from "@/api/endpoints";
import { ApiError } from "@/api/http";
import type { ChatEvent, Conversation, Id, Notice, Sync } from "@/api/types";

import { countAt, fold, headOf, newer, readTo, unread } from "./folding";
import { useOutbox } from "./outbox";
import { usePeople } from "./people";
import { usePictures } from "./pictures";
import { useSession } from "./session";
import {
  applyEvents,
  catchUp,
  gap,
  lastSeq,
  openTimeline,
  prependEvents,
  type Timeline,
} from "./timeline";
import { useTyping } from "./typing";

const PAGE = 50;
const LONG_PAGE = 200;
/** How far back the page goes by itself to open at the first unread. */
const REACH_PAGES = 10;
const RETRY_GAP_MS = 2_000;

export const useConversations = defineStore("conversations", () => {
  const session = useSession();
  const people = usePeople();
  const outbox = useOutbox();
  const pictures = usePictures();
  const typing = useTyping();

  const heads = shallowReactive(new Map<Id, Conversation>());
  const timelines = shallowReactive(new Map<Id, Timeline>());
  const loaded = ref(false);
  const failed = ref(false);
  /** Older pages on their way, or failed, by conversation. */
  const older = reactive(new Map<Id, "loading" | "failed">());

  let token: string | undefined;
  let running: Promise<void> | null = null;
  /** Events of conversations that the next sync will name. */
  let early: ChatEvent[] = [];
  const filling = new Set<Id>();

  const me = computed(() => session.me?.user.id ?? "");
  const list = computed(() => [...heads.values()].sort((a, b) => b.ts - a.ts));
  const totalUnread = computed(() => list.value.reduce((sum, head) => sum + unread(head), 0));

  // --- what comes in

  /** Fetch what was missed; one at a time. */
  function sync(): Promise<void> {
    running ??= fetchSync().finally(() => {
      running = null;
    });
    return running;
  }

  async function fetchSync(): Promise<void> {
    try {
      takeSync(await api.getSync(token));
      loaded.value = true;
      failed.value = false;
    } catch (error) {
      failed.value = !loaded.value;
      throw error;
    }
  }

  function takeSync(answer: Sync): void {
    if (answer.resync) clearEvents();
    token = answer.token;
    people.take(answer.users);
    for (const { events, limited: _, ...head } of answer.conversations) {
      const known = heads.get(head.id);
      heads.set(head.id, known ? newer(known, head) : head);
      const timeline = timelines.get(head.id);
      // away and back in a group: what was said in between is not ours to see
      const connected = timeline && head.first_seq <= lastSeq(timeline) + 1;
      const result = connected
        ? catchUp(timeline, events, head.last_seq)
        : { timeline: openTimeline(events, head.last_seq), applied: events };
      timelines.set(head.id, result.timeline);
      result.applied.forEach(applied);
      void fill(head.id);
    }
    for (const id of answer.removed) forget(id);
    for (const [id, [seq, n]] of Object.entries(answer.cursors ?? {})) moveCursor(id, seq, n);
    answer.progress.forEach(pictures.report);
    const waiting = early;
    early = [];
    for (const event of waiting) if (heads.has(event.conversation)) ingest([event]);
  }

  /** What the live stream brought. */
  function receive(event: ChatEvent | Notice): void {
    if (event.type === "conversation.removed") forget(event.conversation);
    else if (event.type === "cursor") moveCursor(event.conversation, event.read_seq, event.read_n);
    else if (heads.has(event.conversation)) ingest([event]);
    else meet(event);
  }

  /** The first sight of a conversation: its first event, or one for which to ask. */
  function meet(event: ChatEvent): void {
    const head = headOf(event);
    if (head === null) {
      early.push(event);
      void (running ?? Promise.resolve()).then(sync).catch(() => undefined);
      return;
    }
    heads.set(head.id, head);
    timelines.set(head.id, openTimeline([], 0));
    ingest([event]);
  }

  /** Events of one conversation, from anywhere, in any order; how many were new. */
  function ingest(events: readonly ChatEvent[]): number {
    const id = events[0]?.conversation;
    const timeline = id === undefined ? undefined : timelines.get(id);
    let head = id === undefined ? undefined : heads.get(id);
    if (id === undefined || !timeline || !head) return 0;
    const result = applyEvents(timeline, events);
    timelines.set(id, result.timeline);
    for (const event of result.applied) head = fold(head, event, me.value);
    heads.set(id, head);
    result.applied.forEach(applied);
    void fill(id);
    return result.applied.length;
  }

  function applied(event: ChatEvent): void {
    outbox.settle(event);
    pictures.settle(event);
    typing.settle(event);
    if (event.type === "member.added") people.learn(event.body.users);
    else people.learn([event.sender]);
    if (event.type === "conversation.created") {
      people.learn(event.body.members.map((member) => member.user));
    }
    if (event.type === "member.removed" && event.body.user === me.value) {
      // one's own leaving; coming back later is a new sight of it
      const head = heads.get(event.conversation);
      if (head && !head.members.some((member) => member.user === me.value)) {
        forget(event.conversation);
      }
    }
  }

  /** Fetch the range that is missing, page by page, until there is none. */
  async function fill(id: Id): Promise<void> {
    if (filling.has(id)) return;
    filling.add(id);
    try {
      for (;;) {
        const timeline = timelines.get(id);
        const hole = timeline && gap(timeline, heads.get(id)?.last_seq);
        if (!hole) return;
        const page = await api.getEvents(id, { after: hole.after, limit: LONG_PAGE });
        if (ingest(page.events) === 0) return;
      }
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) forget(id);
      else setTimeout(() => void fill(id), RETRY_GAP_MS);
    } finally {
      filling.delete(id);
    }
  }

  function moveCursor(id: Id, seq: number, n: number): void {
    const head = heads.get(id);
    if (head) heads.set(id, readTo(head, seq, n));
  }

  function forget(id: Id): void {
    heads.delete(id);
    timelines.delete(id);
  }

  // --- looking back

  const hasOlder = (id: Id): boolean => {
    const timeline = timelines.get(id);
    return timeline !== undefined && timeline.first > (heads.get(id)?.first_seq ?? 1);
  };

  /** The page before what is shown. */
  async function loadOlder(id: Id, limit = PAGE): Promise<void> {
    const timeline = timelines.get(id);
    if (!timeline || !hasOlder(id) || older.get(id) === "loading") return;
    older.set(id, "loading");
    try {
      const page = await api.getEvents(id, { before: timeline.first, limit });
      const now = timelines.get(id);
      const head = heads.get(id);
      if (now && head && page.events.length === 0) {
        heads.set(id, { ...head, first_seq: now.first });
      } else if (now) {
        timelines.set(id, prependEvents(now, page.events));
      }
      older.delete(id);
    } catch {
      older.set(id, "failed");
    }
  }

  /** Make sure that `seq` is shown, if it is not too far away. */
  async function reach(id: Id, seq: number): Promise<void> {
    for (let pages = 0; pages < REACH_PAGES; pages += 1) {
      const timeline = timelines.get(id);
      if (!timeline || timeline.first <= seq || !hasOlder(id)) return;
      await loadOlder(id, timeline.first - seq > PAGE ? LONG_PAGE : PAGE);
      if (older.get(id) === "failed") return;
    }
  }

  // --- reading

  const unsaid = new Map<Id, number>();
  let sayRead: ((id: Id, seq: number) => Promise<unknown>) | null = null;
  let soon: ReturnType<typeof setTimeout> | undefined;
  const SAY_READ_MS = 300;

  /** The user has seen everything up to `seq`. */
  function markRead(id: Id, seq: number): void {
    const head = heads.get(id);
    const timeline = timelines.get(id);
    if (!head || !timeline || seq <= head.read_seq) return;
    const until = Math.min(seq, lastSeq(timeline));
    heads.set(id, readTo(head, until, countAt(timeline.events, until, head.read_n)));
    unsaid.set(id, until);
    clearTimeout(soon);
    soon = setTimeout(sayWhatIsRead, SAY_READ_MS);
  }

  function sayWhatIsRead(): void {
    if (!sayRead) return;
    for (const [id, seq] of unsaid) {
      unsaid.delete(id);
      // not said: it is said with the next connection
      sayRead(id, seq).catch(() => {
        if ((unsaid.get(id) ?? 0) < seq) unsaid.set(id, seq);
      });
    }
  }

  function connect(say: typeof sayRead): void {
    sayRead = say;
    sayWhatIsRead();
  }

  // --- making and changing

  function adopt(head: Conversation): Conversation {
    const known = heads.get(head.id);
    heads.set(head.id, known ? newer(known, head) : head);
    if (!timelines.has(head.id)) timelines.set(head.id, openTimeline([], head.last_seq));
    void fill(head.id);
    return head;
  }

  const createDirect = async (user: Id) => adopt(await api.createDirect(user));
  const createGroup = async (name: string, members: Id[], key: string) =>
    adopt(await api.createGroup(name, members, key));
  const addMembers = async (id: Id, users: Id[]) => adopt(await api.addMembers(id, users));

  async function removeMember(id: Id, user: Id): Promise<void> {
    await api.removeMember(id, user);
    if (user === me.value) forget(id);
  }

  function clearEvents(): void {
    heads.clear();
    timelines.clear();
    older.clear();
    pictures.clear();
    early = [];
    token = undefined;
  }

  function clear(): void {
    clearEvents();
    unsaid.clear();
    loaded.value = false;
    failed.value = false;
  }

  return {
    heads,
    timelines,
    loaded,
    failed,
    older,
    list,
    totalUnread,
    sync,
    receive,
    hasOlder,
    loadOlder,
    reach,
    markRead,
    connect,
    createDirect,
    createGroup,
    addMembers,
    removeMember,
    clear,
  };
});
