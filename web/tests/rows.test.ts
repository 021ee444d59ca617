import { describe, expect, it } from "vitest";

import { buildRows, GROUP_MS, type Row } from "@/composables/rows";
import type { OutboxEntry } from "@/stores/outboxdb";

import { ANN, BOB, message, picture, pictureDone, ROOM } from "./events";

const base = { pending: [], me: ANN, newFrom: null, complete: false };
const kinds = (rows: Row[]) => rows.map((row) => row.kind);
const noon = new Date(2026, 10, 20, 12).getTime();

const pending = (text: string): OutboxEntry => ({
  client_id: "c3",
  user: ANN,
  conversation: ROOM,
  wish: { kind: "message", text },
  created: noon,
  state: "sending",
});

describe("the lines of a history", () => {
  it("begin each day with its name", () => {
    const events = [message(1, "", { ts: noon }), message(2, "", { ts: noon + 1 }), message(3, "", { ts: noon + 86_400_000 })];
    expect(kinds(buildRows({ ...base, events }))).toEqual(["day", "message", "message", "day", "message"]);
  });

  it("join messages of one sender within five minutes", () => {
    const events = [
      message(1, "", { ts: noon }),
      message(2, "", { ts: noon + GROUP_MS - 1 }),
      message(3, "", { ts: noon + 3 * GROUP_MS }),
      message(4, "", { ts: noon + 3 * GROUP_MS, sender: BOB }),
    ];
    const spoken = buildRows({ ...base, events }).filter((row) => row.kind === "message");
    expect(spoken.map((row) => [row.opens, row.closes])).toEqual([
      [true, false],
      [false, true],
      [true, true],
      [true, true],
    ]);
  });

  it("draw the New line once, before the first unread of somebody else", () => {
    const events = [message(1, "", { sender: BOB }), message(2), message(3, "", { sender: BOB }), message(4, "", { sender: BOB })];
    const rows = buildRows({ ...base, events, newFrom: 2 });
    expect(kinds(rows)).toEqual(["day", "message", "message", "new", "message", "message"]);
    expect(kinds(buildRows({ ...base, events: [message(2)], newFrom: 2 }))).not.toContain("new");
  });

  it("show a picture once, and no line for its end", () => {
    expect(kinds(buildRows({ ...base, events: [picture(1), pictureDone(2, 1)] }))).toEqual(["day", "picture"]);
  });

  it("end with what is on its way, under the key that its event will have", () => {
    const before = buildRows({ ...base, events: [message(2, "", { ts: noon })], pending: [pending("hi")] });
    const after = buildRows({ ...base, events: [message(2, "", { ts: noon }), message(3, "hi", { ts: noon })] });
    expect(kinds(before)).toEqual(["day", "message", "pending"]);
    expect(before.map((row) => row.key)).toEqual(after.map((row) => row.key));
    expect(before.at(-1)).toMatchObject({ opens: false });
  });

  it("begin with the beginning when there is nothing older", () => {
    expect(kinds(buildRows({ ...base, events: [], complete: true }))).toEqual(["start"]);
  });

  it("have keys of their own, each", () => {
    const events = [message(1), message(2, "", { sender: BOB, client_id: "c1" }), message(3, "", { client_id: null })];
    const keys = buildRows({ ...base, events }).map((row) => row.key);
    expect(new Set(keys).size).toBe(keys.length);
  });
});
