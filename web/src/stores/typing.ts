/** Who is writing. A word about it holds for a few seconds. */

import { defineStore } from "pinia";
import { shallowRef } from "vue";

import type { ChatEvent, Id } from "@/api/types";

const HOLDS_MS = 6_000;

export const useTyping = defineStore("typing", () => {
  const writers = shallowRef<ReadonlyMap<Id, readonly Id[]>>(new Map());
  const timers = new Map<string, ReturnType<typeof setTimeout>>();

  function heard(conversation: Id, user: Id): void {
    const key = `${conversation}:${user}`;
    clearTimeout(timers.get(key));
    timers.set(
      key,
      setTimeout(() => stopped(conversation, user), HOLDS_MS),
    );
    const now = writers.value.get(conversation) ?? [];
    if (!now.includes(user)) set(conversation, [...now, user]);
  }

  function stopped(conversation: Id, user: Id): void {
    const key = `${conversation}:${user}`;
    clearTimeout(timers.get(key));
    timers.delete(key);
    const now = writers.value.get(conversation);
    if (now?.includes(user)) set(conversation, now.filter((other) => other !== user));
  }

  /** Who has spoken writes no more. */
  function settle(event: ChatEvent): void {
    if (event.n !== null) stopped(event.conversation, event.sender);
  }

  function set(conversation: Id, users: readonly Id[]): void {
    const next = new Map(writers.value);
    if (users.length > 0) next.set(conversation, users);
    else next.delete(conversation);
    writers.value = next;
  }

  return { writers, heard, settle };
});
