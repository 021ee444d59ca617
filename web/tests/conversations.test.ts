import { createPinia, setActivePinia } from "pinia";
import { beforeEach, describe, expect, it, vi } from "vitest";

import * as api from "@/api/endpoints";
import type { ChatEvent, Sync } from "@/api/types";
import { useConversations } from "@/stores/conversations";
import { unread } from "@/stores/folding";
import { useSession } from "@/stores/session";
import { lastSeq } from "@/stores/timeline";

import { ANN, BOB, generator, head, message, ROOM, shuffled } from "./events";

vi.mock("@/api/endpoints");

const user = (id: string) => ({ id, handle: id, name: id, role: "member" as const, created: 0 });

function sync(more: Partial<Sync> = {}): Sync {
  return { token: "t1", resync: false, user: ANN, users: [user(ANN), user(BOB)], conversations: [], removed: [], cursors: {}, progress: [], ...more };
}

/** What the server has of the room: 100 messages of Bob. */
const all = Array.from({ length: 100 }, (_, i) => message(i + 1, undefined, { sender: BOB }));
const room = (from: number, to: number, more = {}) => ({
  ...head({ last_seq: to, last_n: to, ...more }),
  events: all.slice(from - 1, to),
  limited: from > 1,
});

const shown = (store: ReturnType<typeof useConversations>) =>
  (store.timelines.get(ROOM)?.events ?? []).map((event) => event.seq);

function store() {
  const session = useSession();
  session.me = { user: user(ANN), session: "s" };
  return useConversations();
}

beforeEach(() => {
  setActivePinia(createPinia());
  vi.mocked(api.getUsers).mockResolvedValue({ users: [] });
  vi.mocked(api.getEvents).mockImplementation((_, { after, before, limit = 50 }) => {
    const found = all.filter((event) => event.seq > (after ?? 0) && event.seq < (before ?? 1e9));
    return Promise.resolve({
      events: after === undefined ? found.slice(-limit) : found.slice(0, limit),
      last_seq: 100,
    });
  });
});

describe("the conversations", () => {
  it("begin with the server's newest and its counters", async () => {
    const conversations = store();
    vi.mocked(api.getSync).mockResolvedValue(sync({ conversations: [room(81, 100, { read_n: 90, read_seq: 90 })] }));
    await conversations.sync();
    expect(shown(conversations)).toEqual(all.slice(80).map((event) => event.seq));
    expect(conversations.totalUnread).toBe(10);
  });

  it("fill a hole by the range, and count once", async () => {
    const conversations = store();
    vi.mocked(api.getSync).mockResolvedValue(sync({ conversations: [room(1, 10)] }));
    await conversations.sync();
    conversations.receive(all[19]!);
    expect(shown(conversations).at(-1)).toBe(10);
    await vi.waitFor(() => expect(shown(conversations).at(-1)).toBe(100));
    expect(unread(conversations.heads.get(ROOM)!)).toBe(100);
  });

  it("show the same whatever the order, the losses and the repetitions of the live stream", async () => {
    for (let seed = 1; seed <= 25; seed += 1) {
      setActivePinia(createPinia());
      const [conversations, random] = [store(), generator(seed)];
      vi.mocked(api.getSync).mockResolvedValue(sync({ conversations: [room(1, 5)] }));
      await conversations.sync();
      for (const event of shuffled([...all, ...all.slice(40)], random)) {
        if (random() < 0.8) conversations.receive(event);
        if (random() < 0.1) await Promise.resolve();
      }
      conversations.receive(all[99]!);
      await vi.waitFor(() => expect(conversations.timelines.get(ROOM)!.events).toEqual(all));
      expect(conversations.heads.get(ROOM)).toMatchObject({ last_seq: 100, last_n: 100 });
    }
  });

  it("give their token back, and start over when the server does not know it", async () => {
    const conversations = store();
    vi.mocked(api.getSync).mockResolvedValueOnce(sync({ conversations: [room(1, 10)] }));
    await conversations.sync();
    vi.mocked(api.getSync).mockResolvedValueOnce(sync({ token: "t2", resync: true, conversations: [room(31, 50)] }));
    await conversations.sync();
    expect(api.getSync).toHaveBeenLastCalledWith("t1");
    expect(shown(conversations)[0]).toBe(31);
  });

  it("keep what came live while the answer was on its way", async () => {
    const conversations = store();
    vi.mocked(api.getSync).mockResolvedValueOnce(sync({ conversations: [room(1, 10)] }));
    await conversations.sync();
    let answer!: (sync: Sync) => void;
    vi.mocked(api.getSync).mockReturnValueOnce(new Promise((resolve) => (answer = resolve)));
    const syncing = conversations.sync();
    conversations.receive(all[10]!);
    conversations.receive(all[11]!);
    answer(sync({ conversations: [room(1, 11)] }));
    await syncing;
    expect(conversations.heads.get(ROOM)).toMatchObject({ last_seq: 12, last_n: 12 });
    expect(lastSeq(conversations.timelines.get(ROOM)!)).toBe(12);
  });

  it("meet a new conversation by its first event", () => {
    const conversations = store();
    conversations.receive(
      message(1, "", {
        type: "conversation.created",
        n: null,
        sender: BOB,
        body: { kind: "single", name: "", members: [{ user: ANN, role: "member" }, { user: BOB, role: "member" }] },
      } as Partial<ChatEvent>),
    );
    conversations.receive(message(2, "hello", { n: 1, sender: BOB }));
    expect(conversations.totalUnread).toBe(1);
    expect(shown(conversations)).toEqual([1, 2]);
  });

  it("ask about a conversation that they have never seen", async () => {
    const conversations = store();
    vi.mocked(api.getSync).mockResolvedValue(sync({ conversations: [room(41, 60)] }));
    conversations.receive(all[60]!);
    await vi.waitFor(() => expect(shown(conversations).at(-1)).toBe(61));
  });

  it("let go of a group that one was put out of", async () => {
    const conversations = store();
    vi.mocked(api.getSync).mockResolvedValue(sync({ conversations: [room(1, 10)] }));
    await conversations.sync();
    conversations.receive({ type: "conversation.removed", conversation: ROOM });
    expect(conversations.list).toEqual([]);
  });

  it("begin anew in a group that one left and came back to", async () => {
    const conversations = store();
    vi.mocked(api.getSync).mockResolvedValueOnce(sync({ conversations: [room(1, 10)] }));
    await conversations.sync();
    vi.mocked(api.getSync).mockResolvedValueOnce(sync({ conversations: [room(51, 60, { first_seq: 51 })] }));
    await conversations.sync();
    expect(shown(conversations)[0]).toBe(51);
    expect(conversations.hasOlder(ROOM)).toBe(false);
  });

  it("page back to the first that one may see", async () => {
    const conversations = store();
    vi.mocked(api.getSync).mockResolvedValue(sync({ conversations: [{ ...room(1, 100), events: [], limited: true }] }));
    await conversations.sync();
    expect(shown(conversations)).toEqual([]);
    await conversations.loadOlder(ROOM);
    expect(shown(conversations)[0]).toBe(51);
    await conversations.reach(ROOM, 3);
    expect(shown(conversations)[0]).toBe(1);
    expect(conversations.hasOlder(ROOM)).toBe(false);
  });

  it("say once what was read, and again if it was not heard", async () => {
    const conversations = store();
    vi.mocked(api.getSync).mockResolvedValue(sync({ conversations: [room(1, 10)] }));
    await conversations.sync();
    const say = vi.fn().mockRejectedValueOnce(new Error("gone")).mockResolvedValue({});
    conversations.markRead(ROOM, 4);
    conversations.markRead(ROOM, 6);
    conversations.markRead(ROOM, 5);
    expect(unread(conversations.heads.get(ROOM)!)).toBe(4);
    conversations.connect(say);
    await vi.waitFor(() => expect(say).toHaveBeenCalledTimes(1));
    await Promise.resolve();
    conversations.connect(say);
    await vi.waitFor(() => expect(say).toHaveBeenCalledTimes(2));
    expect(say).toHaveBeenLastCalledWith(ROOM, 6);
  });

  it("follow reading on another device, never back", async () => {
    const conversations = store();
    vi.mocked(api.getSync).mockResolvedValue(sync({ conversations: [room(1, 10)] }));
    await conversations.sync();
    conversations.receive({ type: "cursor", conversation: ROOM, read_seq: 8, read_n: 8 });
    conversations.receive({ type: "cursor", conversation: ROOM, read_seq: 3, read_n: 3 });
    expect(conversations.totalUnread).toBe(2);
  });
});
