/** Who stands where in a group (the server decides; this is what is offered). */

import type { Conversation, Id, Member } from "@/api/types";

const RANK = { owner: 2, admin: 1, member: 0 } as const;

/** Owner first, then admins, then by name. */
export function sortedMembers(conversation: Conversation, nameOf: (id: Id) => string): Member[] {
  return [...conversation.members].sort(
    (a, b) => RANK[b.role] - RANK[a.role] || nameOf(a.user).localeCompare(nameOf(b.user)),
  );
}

/** One may put out whoever ranks lower; oneself one leaves. */
export function mayRemove(conversation: Conversation, me: Id, user: Id): boolean {
  if (me === user || conversation.kind !== "group") return false;
  const rank = (id: Id) => RANK[conversation.members.find((m) => m.user === id)?.role ?? "member"];
  return rank(me) > rank(user);
}
