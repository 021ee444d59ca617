/** What an event does to its conversation's head: members, counters, unread. */

import type { ChatEvent, Conversation, Id } from "@/api/types";

export const unread = (conversation: Conversation): number =>
  Math.max(0, conversation.last_n - conversation.read_n);

/**
 * The head after `event`. Events that the head has seen already change nothing, so
 * pages of history may be folded without harm.
 */
export function fold(conversation: Conversation, event: ChatEvent, me: Id): Conversation {
  if (event.seq <= conversation.last_seq) return conversation;
  const next: Conversation = {
    ...conversation,
    last_seq: event.seq,
    last_n: event.n ?? conversation.last_n,
    ts: Math.max(conversation.ts, event.ts),
  };
  if (event.type === "member.added") {
    const present = new Set(next.members.map((member) => member.user));
    const added = event.body.users.filter((user) => !present.has(user));
    next.members = [...next.members, ...added.map((user) => ({ user, role: "member" as const }))];
  } else if (event.type === "member.removed") {
    const { user, owner } = event.body;
    next.members = next.members
      .filter((member) => member.user !== user)
      .map((member) => (member.user === owner ? { ...member, role: "owner" as const } : member));
    if (owner) next.owner = owner;
  }
  // who speaks has read what stands above, as on the server
  if (event.sender === me && event.n !== null) return readTo(next, event.seq, event.n);
  return next;
}

/** The head with the read cursor moved to `seq`; it never goes back. */
export function readTo(conversation: Conversation, seq: number, n: number): Conversation {
  if (seq <= conversation.read_seq && n <= conversation.read_n) return conversation;
  return {
    ...conversation,
    read_seq: Math.max(conversation.read_seq, seq),
    read_n: Math.max(conversation.read_n, n),
  };
}

/** How many of what makes unread lie at or before `seq`, by the events at hand. */
export function countAt(events: readonly ChatEvent[], seq: number, otherwise: number): number {
  for (let i = Math.min(events.length, seq - (events[0]?.seq ?? 0) + 1) - 1; i >= 0; i -= 1) {
    const n = events[i]?.n;
    if (n !== null && n !== undefined) return n;
  }
  return otherwise;
}

/** A head made from the first event of a conversation that this page did not know. */
export function headOf(event: ChatEvent): Conversation | null {
  if (event.type !== "conversation.created") return null;
  const { kind, name, members } = event.body;
  return {
    id: event.conversation,
    kind,
    name,
    owner: event.sender,
    members,
    last_seq: 0,
    last_n: 0,
    first_seq: 1,
    read_seq: 0,
    read_n: 0,
    ts: event.ts,
  };
}

/** Two views of one head (a sync's answer and the live stream): the newer of each part. */
export function newer(known: Conversation, given: Conversation): Conversation {
  const [late, early] = given.last_seq >= known.last_seq ? [given, known] : [known, given];
  return {
    ...late,
    read_seq: Math.max(late.read_seq, early.read_seq),
    read_n: Math.max(late.read_n, early.read_n),
  };
}
