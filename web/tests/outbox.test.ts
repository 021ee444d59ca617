import "fake-indexeddb/auto";

import { createPinia, setActivePinia } from "pinia";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { ApiError } from "@/api/http";
import { Disconnected, type Receipt } from "@/stomp/connection";
import { uuidv7 } from "@/stores/ids";
import { frameOf, nextToSend, useOutbox } from "@/stores/outbox";
import { IdbOutbox, type OutboxEntry } from "@/stores/outboxdb";

import { ANN, BOB, message, ROOM } from "./events";

/** A server that answers when told to, and keeps what it accepted, once per client id. */
class Server {
  readonly accepted: string[] = [];
  private readonly waiting: {
    body: Record<string, string>;
    resolve: (receipt: Receipt) => void;
    reject: (error: Error) => void;
  }[] = [];

  deliver = (_: string, body: unknown): Promise<Receipt> =>
    new Promise((resolve, reject) => {
      this.waiting.push({ body: body as Record<string, string>, resolve, reject });
    });

  get underWay(): string[] {
    return this.waiting.map(({ body }) => body.text!);
  }

  accept(answer = true): void {
    const { body, resolve, reject } = this.waiting.shift()!;
    if (!this.accepted.includes(body.client_id!)) this.accepted.push(body.client_id!);
    if (answer) resolve({ seq: String(this.accepted.indexOf(body.client_id!) + 1) });
    else reject(new Disconnected());
  }

  refuse(code: string, retryAfter?: number): void {
    const error = new ApiError(400, { code, message: code, retry_after: retryAfter });
    this.waiting.shift()!.reject(error);
  }

  lose(): void {
    this.waiting.splice(0).forEach(({ reject }) => reject(new Disconnected()));
  }
}

/** What follows an answer follows soon; how soon is nobody's business. */
const soon = (check: () => unknown) => vi.waitFor(check);
const text = (entry: OutboxEntry) => (entry.wish.kind === "message" ? entry.wish.text : "");

let names = 0;
const storage = () => new IdbOutbox(`test-${(names += 1)}`);

beforeEach(() => setActivePinia(createPinia()));

describe("the outbox", () => {
  it("shows at once what was typed and stores it before it is sent", async () => {
    const kept = storage();
    const outbox = useOutbox();
    await outbox.open(ANN, kept);
    const adding = outbox.add(ROOM, { kind: "message", text: "hello" });
    expect(outbox.entries.map(text)).toEqual(["hello"]);
    await adding;
    expect((await kept.all(ANN)).map(text)).toEqual(["hello"]);
  });

  it("sends one at a time in a conversation, in the order of typing", async () => {
    const [outbox, server] = [useOutbox(), new Server()];
    await outbox.open(ANN, storage());
    outbox.connect(server.deliver);
    for (const word of ["one", "two", "three"]) await outbox.add(ROOM, { kind: "message", text: word });
    await outbox.add("901", { kind: "message", text: "elsewhere" });
    expect(server.underWay).toEqual(["one", "elsewhere"]);
    server.accept();
    await soon(() => expect(server.underWay).toEqual(["elsewhere", "two"]));
  });

  it("keeps an entry until its event is there, and forgets it in storage with the receipt", async () => {
    const [outbox, server, kept] = [useOutbox(), new Server(), storage()];
    await outbox.open(ANN, kept);
    outbox.connect(server.deliver);
    const entry = await outbox.add(ROOM, { kind: "message", text: "hello" });
    server.accept();
    await soon(() => expect(outbox.entries[0]?.state).toBe("sent"));
    await soon(async () => expect(await kept.all(ANN)).toEqual([]));
    outbox.settle(message(1, "hello", { client_id: entry.client_id }));
    expect(outbox.entries).toEqual([]);
  });

  it("does not take another person's event for its own", async () => {
    const outbox = useOutbox();
    await outbox.open(ANN, storage());
    const entry = await outbox.add(ROOM, { kind: "message", text: "hello" });
    outbox.settle(message(1, "hello", { client_id: entry.client_id, sender: BOB }));
    expect(outbox.entries).toHaveLength(1);
  });

  it("sends again with the same client id after a lost connection, in order, and nothing is doubled", async () => {
    const [outbox, server] = [useOutbox(), new Server()];
    await outbox.open(ANN, storage());
    outbox.connect(server.deliver);
    for (const word of ["one", "two"]) await outbox.add(ROOM, { kind: "message", text: word });
    server.accept(false); // it was accepted, but the answer was lost
    outbox.connect(null);
    await soon(() =>
      expect(outbox.entries.map((entry) => entry.state)).toEqual(["waiting", "waiting"]),
    );
    outbox.connect(server.deliver);
    expect(server.underWay).toEqual(["one"]);
    server.accept();
    await soon(() => expect(server.underWay).toEqual(["two"]));
    server.accept();
    expect(server.accepted).toEqual(outbox.entries.map((entry) => entry.client_id));
  });

  it("marks a refused entry failed, goes on with the next, and tries again when asked", async () => {
    const [outbox, server, kept] = [useOutbox(), new Server(), storage()];
    await outbox.open(ANN, kept);
    outbox.connect(server.deliver);
    await outbox.add(ROOM, { kind: "message", text: "bad" });
    await outbox.add(ROOM, { kind: "message", text: "good" });
    server.refuse("text_too_long");
    await soon(() => expect(server.underWay).toEqual(["good"]));
    expect(outbox.entries[0]).toMatchObject({ state: "failed", error: { code: "text_too_long" } });
    await soon(async () => expect((await kept.all(ANN))[0]?.state).toBe("failed"));
    server.accept();
    await soon(() => expect(outbox.entries[1]?.state).toBe("sent"));
    await outbox.retry(outbox.entries[0]!.client_id);
    expect(server.underWay).toEqual(["bad"]);
  });

  it("waits as long as the server asks, then sends again", async () => {
    const [outbox, server] = [useOutbox(), new Server()];
    await outbox.open(ANN, storage());
    outbox.connect(server.deliver);
    await outbox.add(ROOM, { kind: "message", text: "fast" });
    server.refuse("too_fast", 0.02);
    await vi.waitFor(() => expect(server.underWay).toEqual(["fast"]));
    expect(outbox.entries[0]?.state).toBe("sending");
  });

  it("does not hold up messages behind a picture that must wait", async () => {
    const [outbox, server] = [useOutbox(), new Server()];
    await outbox.open(ANN, storage());
    outbox.connect(server.deliver);
    await outbox.add(ROOM, { kind: "picture", prompt: "fox" });
    server.refuse("too_many_pictures", 60);
    await outbox.add(ROOM, { kind: "message", text: "hello" });
    await soon(() => expect(server.underWay).toEqual(["hello"]));
    await soon(() =>
      expect(outbox.entries[0]).toMatchObject({ state: "waiting", error: { code: "too_many_pictures" } }),
    );
    outbox.connect(null);
  });

  it("takes up after a reload what was left, for this user only", async () => {
    const kept = storage();
    const before = useOutbox();
    await before.open(ANN, kept);
    await before.add(ROOM, { kind: "message", text: "first" });
    await before.add(ROOM, { kind: "picture", prompt: "red heart" });

    setActivePinia(createPinia());
    const [after, server] = [useOutbox(), new Server()];
    await after.open(ANN, kept);
    expect(after.entries.map((entry) => entry.wish.kind)).toEqual(["message", "picture"]);
    after.connect(server.deliver);
    expect(server.underWay[0]).toBe("first");
    expect(server.underWay).toHaveLength(2); // pictures have a lane of their own

    setActivePinia(createPinia());
    const other = useOutbox();
    await other.open(BOB, kept);
    expect(other.entries).toEqual([]);
  });

  it("survives two tabs that send the same entry", async () => {
    const [kept, server] = [storage(), new Server()];
    const one = useOutbox(createPinia());
    await one.open(ANN, kept);
    await one.add(ROOM, { kind: "message", text: "hello" });
    const two = useOutbox(createPinia());
    await two.open(ANN, kept);
    one.connect(server.deliver);
    two.connect(server.deliver);
    expect(server.underWay).toEqual(["hello", "hello"]);
    server.accept();
    server.accept();
    await soon(() => expect(two.entries[0]?.state).toBe("sent"));
    expect(server.accepted).toHaveLength(1);
    expect(two.entries[0]?.seq).toBe(one.entries[0]?.seq);
  });

  it("loses nothing when storage is forbidden", async () => {
    const [outbox, server] = [useOutbox(), new Server()];
    const forbidden = () => Promise.reject(new Error("forbidden"));
    await outbox.open(ANN, { all: forbidden, put: forbidden, remove: forbidden });
    outbox.connect(server.deliver);
    await outbox.add(ROOM, { kind: "message", text: "hello" });
    server.accept();
    await soon(() => expect(outbox.entries[0]?.state).toBe("sent"));
  });
});

describe("what is sent", () => {
  const entry = (wish: OutboxEntry["wish"], more: Partial<OutboxEntry> = {}): OutboxEntry => ({
    client_id: uuidv7(),
    user: ANN,
    conversation: ROOM,
    wish,
    created: 0,
    state: "waiting",
    ...more,
  });

  it("goes to the destination of its kind, with the client id", () => {
    const one = entry({ kind: "message", text: "hi" });
    expect(frameOf(one)).toEqual({
      destination: "/app/chat.send",
      body: { conversation: ROOM, client_id: one.client_id, text: "hi" },
    });
    expect(frameOf(entry({ kind: "picture", prompt: "fox", seed: 7 }))).toMatchObject({
      destination: "/app/pictures.imagine",
      body: { prompt: "fox", seed: 7 },
    });
  });

  it("is nothing in a conversation that has one under way", () => {
    const wish = { kind: "message", text: "" } as const;
    const entries = [entry(wish, { state: "failed" }), entry(wish), entry(wish, { conversation: "901", state: "sending" }), entry(wish, { conversation: "901" })];
    expect(nextToSend(entries)).toEqual([entries[1]]);
  });
});

describe("a client id", () => {
  it("is a UUID of version 7 that sorts by the time of making", () => {
    const future = Date.now() + 60_000; // later than any made so far
    const made = Array.from({ length: 5_000 }, () => uuidv7(future));
    expect(made[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(parseInt(made[0]!.replace(/-/g, "").slice(0, 12), 16)).toBe(future);
    expect([...made].sort()).toEqual(made);
    expect(new Set(made).size).toBe(made.length);
  });
});
