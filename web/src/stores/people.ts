/** Everybody on this server, by id. */

import { defineStore } from "pinia";
import { computed, shallowRef } from "vue";

import * as api from "@/api/endpoints";
import type { Conversation, Id, User } from "@/api/types";

export const usePeople = defineStore("people", () => {
  const byId = shallowRef<ReadonlyMap<Id, User>>(new Map());
  const all = computed(() => [...byId.value.values()].sort((a, b) => a.name.localeCompare(b.name)));

  function take(users: readonly User[]): void {
    if (users.length === 0) return;
    const next = new Map(byId.value);
    for (const user of users) next.set(user.id, user);
    byId.value = next;
  }

  async function load(): Promise<void> {
    take((await api.getUsers()).users);
  }

  const asked = new Set<Id>();
  /** Somebody joined whom this page does not know yet: ask, once for each. */
  function learn(ids: readonly Id[]): void {
    const strangers = ids.filter((id) => !byId.value.has(id) && !asked.has(id));
    if (strangers.length === 0) return;
    for (const id of strangers) asked.add(id);
    load().catch(() => {
      for (const id of strangers) asked.delete(id);
    });
  }

  const nameOf = (id: Id): string => byId.value.get(id)?.name ?? "…";

  function clear(): void {
    byId.value = new Map();
  }

  return { byId, all, take, load, learn, nameOf, clear };
});

/** The other one in a direct conversation (oneself, if one talks to oneself). */
export function otherOf(conversation: Conversation, me: Id): Id {
  return conversation.members.find((member) => member.user !== me)?.user ?? me;
}
