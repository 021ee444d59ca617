import { describe, expect, it } from "vitest";

import type { ChatEvent } from "@/api/types";
import { countAt, fold, headOf, newer, readTo, unread } from "@/stores/folding";

import { ANN, BOB, EVE, head, message } from "./events";

const added = (seq: number, users: string[]) =>
  message(seq, "", { type: "member.added", n: null, body: { users } } as Partial<ChatEvent>);
const removed = (seq: number, user: string, owner?: string) =>
  message(seq, "", { type: "member.removed", n: null, body: { user, by: ANN, owner } } as Partial<ChatEvent>);

describe("the head of a conversation", () => {
  it("counts as unread what others say, not who comes and goes", () => {
    let now = fold(head(), message(1, "hi", { n: 1 }), BOB);
    now = fold(now, added(2, [EVE]), BOB);
    expect(unread(now)).toBe(1);
    expect(now.last_seq).toBe(2);
  });

  it("has read what one says oneself, and what stands above it", () => {
    let now = fold(head(), message(1, "hi", { n: 1 }), BOB);
    now = fold(now, message(2, "yes?", { n: 2, sender: BOB }), BOB);
    expect(unread(now)).toBe(0);
    expect(now.read_seq).toBe(2);
  });

  it("is not changed by an event that it has seen", () => {
    const now = fold(head(), message(1), BOB);
    expect(fold(now, message(1), BOB)).toBe(now);
    const later = head({ last_seq: 9, members: [{ user: ANN, role: "owner" }] });
    expect(fold(later, added(3, [BOB]), ANN)).toBe(later);
  });

  it("follows who is here and who owns it", () => {
    let now = fold(head(), added(1, [EVE, BOB]), ANN);
    expect(now.members.map((member) => member.user)).toEqual([ANN, BOB, EVE]);
    now = fold(now, removed(2, ANN, BOB), BOB);
    expect(now.members).toEqual([
      { user: BOB, role: "owner" },
      { user: EVE, role: "member" },
    ]);
    expect(now.owner).toBe(BOB);
  });

  it("never takes reading back", () => {
    const now = readTo(head({ last_seq: 9, last_n: 7 }), 6, 5);
    expect(readTo(now, 3, 2)).toBe(now);
    expect(unread(now)).toBe(2);
  });

  it("counts unread by the nearest number at or before a place", () => {
    const events = [message(4, "", { n: 3 }), added(5, [EVE]), message(6, "", { n: 4 })];
    expect(countAt(events, 6, 0)).toBe(4);
    expect(countAt(events, 5, 0)).toBe(3);
    expect(countAt(events, 99, 0)).toBe(4);
    expect(countAt(events, 2, 2)).toBe(2);
    expect(countAt([], 2, 2)).toBe(2);
  });

  it("begins with the first event of a conversation, and with no other", () => {
    const first = message(1, "", {
      type: "conversation.created",
      n: null,
      body: { kind: "single", name: "", members: [{ user: ANN, role: "member" }] },
    } as Partial<ChatEvent>);
    expect(headOf(first)).toMatchObject({ kind: "single", last_seq: 0, owner: ANN });
    expect(headOf(message(7))).toBeNull();
  });

  it("is the newer of a sync's answer and what came live, in each part", () => {
    const live = head({ last_seq: 12, last_n: 10, read_seq: 3, read_n: 2 });
    const answer = head({ last_seq: 10, last_n: 8, read_seq: 8, read_n: 7, name: "Old" });
    expect(newer(live, answer)).toMatchObject({ last_seq: 12, read_seq: 8, read_n: 7, name: "Room" });
  });
});
