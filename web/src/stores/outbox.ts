/**
 * From Enter to the tick.
 *
 * Theory of operation. An entry is shown at once, written to storage, and then sent:
 *
 *     waiting → sending → sent → (gone: its event is in the timeline)
 *        ↑         │
 *        │         ├─ connection lost, or "later" (retry_after)
 *        └─────────┤
 *                  └─ refused → failed → retry (waiting) or discard (gone)
 *
 * Every try carries the same `client_id`, the server's idempotency key. So a try
 * whose answer was lost may simply be made again, also by a second tab that found the
 * entry in the shared storage: the server answers both with the same `seq`.
 *
 * One message per conversation is under way at a time: what is sent first comes first,
 * also when a refusal or a lost connection falls between two. Wishes for pictures have a
 * lane of their own, because a full queue of pictures must not hold up the talk.
 */

import { defineStore } from "pinia";
import { computed, ref } from "vue";

import { ApiError } from "@/api/http";
import type { ChatEvent, Id } from "@/api/types";
import { Disconnected, type Receipt } from "@/stomp/connection";

import { uuidv7 } from "./ids";
import { IdbOutbox, type OutboxEntry, type OutboxStorage } from "./outboxdb";

const MIN_WAIT_MS = 10;

/** Sends one entry; rejects as `Connection.send` does. */
export type Deliver = (destination: string, body: unknown) => Promise<Receipt>;

/** The SEND that an entry stands for. */
export function frameOf(entry: OutboxEntry): { destination: string; body: object } {
  const { kind, ...wish } = entry.wish;
  const head = { conversation: entry.conversation, client_id: entry.client_id };
  return kind === "message"
    ? { destination: "/app/chat.send", body: { ...head, ...wish } }
    : { destination: "/app/pictures.imagine", body: { ...head, ...wish } };
}

/** The next entry to send in each lane that has none under way and need not wait. */
export function nextToSend(entries: readonly OutboxEntry[], now = Date.now()): OutboxEntry[] {
  const heads = new Map<string, OutboxEntry | null>();
  for (const entry of entries) {
    const lane = `${entry.conversation}/${entry.wish.kind}`;
    if (entry.state === "sending") heads.set(lane, null);
    if (entry.state === "waiting" && !heads.has(lane)) {
      heads.set(lane, (entry.notBefore ?? 0) > now ? null : entry);
    }
  }
  return [...heads.values()].filter((entry) => entry !== null);
}

export const useOutbox = defineStore("outbox", () => {
  const entries = ref<OutboxEntry[]>([]);
  let storage: OutboxStorage | null = null;
  let deliver: Deliver | null = null;
  let user: Id = "";
  let later: ReturnType<typeof setTimeout> | undefined;

  const byConversation = computed(() => {
    const lanes = new Map<Id, OutboxEntry[]>();
    for (const entry of entries.value) {
      lanes.set(entry.conversation, [...(lanes.get(entry.conversation) ?? []), entry]);
    }
    return lanes;
  });

  /** Take up what an earlier page of this user left. */
  async function open(me: Id, store: OutboxStorage = new IdbOutbox()): Promise<void> {
    user = me;
    storage = store;
    const left = await store.all(me).catch(() => []);
    const known = new Set(entries.value.map((entry) => entry.client_id));
    const revived = left
      .filter((entry) => !known.has(entry.client_id))
      .map((entry) => ({ ...entry, state: entry.state === "failed" ? entry.state : "waiting" }));
    entries.value = [...(revived as OutboxEntry[]), ...entries.value].sort((a, b) =>
      a.client_id < b.client_id ? -1 : 1,
    );
  }

  /** Connected: send what waits. Null: the connection went. */
  function connect(next: Deliver | null): void {
    deliver = next;
    clearTimeout(later);
    if (next) flush();
  }

  /** Accept what the user typed; shown from now on. Resolves when it is stored. */
  async function add(conversation: Id, wish: OutboxEntry["wish"]): Promise<OutboxEntry> {
    const entry: OutboxEntry = {
      client_id: uuidv7(),
      user,
      conversation,
      wish,
      created: Date.now(),
      state: "waiting",
    };
    entries.value.push(entry);
    await keep(entry);
    flush();
    return entry;
  }

  function flush(): void {
    for (const entry of nextToSend(entries.value)) void send(entry);
  }

  async function send(entry: OutboxEntry): Promise<void> {
    if (!deliver) return;
    entry.state = "sending";
    entry.notBefore = undefined;
    const { destination, body } = frameOf(entry);
    try {
      const receipt = await deliver(destination, body);
      entry.state = "sent";
      entry.error = undefined;
      entry.seq = Number(receipt.seq);
      void storage?.remove(entry.client_id).catch(() => undefined);
    } catch (error) {
      if (error instanceof Disconnected || !(error instanceof ApiError)) {
        entry.state = "waiting"; // the next connection sends it again
        return;
      }
      entry.error = { code: error.code, message: error.message, params: error.params };
      if (error.retryAfter !== undefined) {
        entry.state = "waiting"; // the reason is shown meanwhile
        entry.notBefore = Date.now() + error.retryAfter * 1_000;
        wakeUp();
        return;
      }
      entry.state = "failed";
      void keep(entry);
    }
    flush();
  }

  /** Send again when the first of those that must wait may go. */
  function wakeUp(): void {
    const times = entries.value.flatMap((entry) =>
      entry.state === "waiting" && entry.notBefore ? [entry.notBefore] : [],
    );
    clearTimeout(later);
    if (times.length === 0) return;
    later = setTimeout(() => {
      flush();
      wakeUp();
    }, Math.max(MIN_WAIT_MS, Math.min(...times) - Date.now()));
  }

  /** An event came: the entry that became it is done. */
  function settle(event: ChatEvent): void {
    if (event.sender !== user || event.client_id === null) return;
    const entry = entries.value.find((other) => other.client_id === event.client_id);
    if (entry) remove(entry);
  }

  /** Try a refused entry again. */
  async function retry(clientId: string): Promise<void> {
    const entry = entries.value.find((other) => other.client_id === clientId);
    if (entry?.state !== "failed") return;
    entry.state = "waiting";
    entry.error = undefined;
    await keep(entry);
    flush();
  }

  /** Give a refused entry up; its text is returned for the composer. */
  function discard(clientId: string): OutboxEntry | undefined {
    const entry = entries.value.find((other) => other.client_id === clientId);
    if (entry) remove(entry);
    return entry;
  }

  function remove(entry: OutboxEntry): void {
    entries.value = entries.value.filter((other) => other.client_id !== entry.client_id);
    void storage?.remove(entry.client_id).catch(() => undefined);
  }

  async function keep(entry: OutboxEntry): Promise<void> {
    await storage?.put(entry).catch(() => undefined);
  }

  /** Forget what is shown (signed out); storage keeps it for the next sign-in. */
  function close(): void {
    connect(null);
    entries.value = [];
    user = "";
  }

  return { entries, byConversation, open, connect, add, settle, retry, discard, close, flush };
});
