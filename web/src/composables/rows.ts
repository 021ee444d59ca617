/** The lines of a history, made from its events and what is still on its way. */

import type { ChatEvent, Id, MessageEvent, PictureEvent } from "@/api/types";
import type { OutboxEntry } from "@/stores/outboxdb";

/** Messages of one sender within this time stand together. */
export const GROUP_MS = 5 * 60_000;

interface Base {
  /** Stable: an entry of the outbox and the event that it becomes share one. */
  key: string;
  ts: number;
}

interface Spoken extends Base {
  sender: Id;
  /** First and last of a group of one sender. */
  opens: boolean;
  closes: boolean;
}

export type MessageRow = Spoken & { kind: "message"; event: MessageEvent };
export type PictureRow = Spoken & { kind: "picture"; event: PictureEvent };
export type PendingRow = Spoken & { kind: "pending"; entry: OutboxEntry };
export type SystemRow = Base & { kind: "system"; event: ChatEvent };
export type Row =
  | MessageRow
  | PictureRow
  | PendingRow
  | SystemRow
  | (Base & { kind: "day" })
  | (Base & { kind: "new" })
  | (Base & { kind: "start" });

export interface RowsInput {
  events: readonly ChatEvent[];
  pending: readonly OutboxEntry[];
  me: Id;
  /** The "New" line stands before the first event of others from this `seq` on. */
  newFrom: number | null;
  /** Whether nothing older is to come. */
  complete: boolean;
}

/** The lines, oldest first. */
export function buildRows({ events, pending, me, newFrom, complete }: RowsInput): Row[] {
  const rows: Row[] = [];
  if (complete) rows.push({ kind: "start", key: "start", ts: 0 });
  let day = "";
  let lineDrawn = newFrom === null;

  const beginDay = (ts: number) => {
    const next = dayOf(ts);
    if (next === day) return;
    day = next;
    rows.push({ kind: "day", key: `day-${next}`, ts });
  };

  for (const event of events) {
    if (event.type === "picture.updated") continue;
    beginDay(event.ts);
    if (!lineDrawn && event.seq >= newFrom! && event.sender !== me && event.n !== null) {
      rows.push({ kind: "new", key: "new", ts: event.ts });
      lineDrawn = true;
    }
    if (event.type === "message" || event.type === "picture") {
      rows.push(spoken(event));
    } else {
      rows.push({ kind: "system", key: `e${event.seq}`, ts: event.ts, event });
    }
  }
  for (const entry of pending) {
    beginDay(Math.max(entry.created, rows.at(-1)?.ts ?? 0));
    rows.push({
      kind: "pending",
      key: `c${me}:${entry.client_id}`,
      ts: entry.created,
      sender: me,
      entry,
      opens: true,
      closes: true,
    });
  }
  group(rows);
  return rows;
}

function spoken(event: MessageEvent | PictureEvent): MessageRow | PictureRow {
  const base = {
    key: event.client_id ? `c${event.sender}:${event.client_id}` : `e${event.seq}`,
    ts: event.ts,
    sender: event.sender,
    opens: true,
    closes: true,
  };
  return event.type === "message"
    ? { ...base, kind: "message", event }
    : { ...base, kind: "picture", event };
}

/** Join neighbours of one sender that are close in time. */
function group(rows: Row[]): void {
  for (let i = 1; i < rows.length; i += 1) {
    const [above, below] = [rows[i - 1]!, rows[i]!];
    if (!isSpoken(above) || !isSpoken(below) || above.sender !== below.sender) continue;
    // pending entries carry this device's clock, which may differ from the server's
    const near = below.kind === "pending" || below.ts - above.ts < GROUP_MS;
    if (near) {
      above.closes = false;
      below.opens = false;
    }
  }
}

export const isSpoken = (row: Row): row is MessageRow | PictureRow | PendingRow =>
  row.kind === "message" || row.kind === "picture" || row.kind === "pending";

/** The `seq` that a row shows; 0 where it shows none. */
export const seqOf = (row: Row): number => ("event" in row ? row.event.seq : 0);

/** The local calendar day. */
export function dayOf(ts: number): string {
  const date = new Date(ts);
  return `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;
}
