/** Events for tests, as the server would number them. */

import type { ChatEvent, Conversation } from "@/api/types";

export const ANN = "101";
export const BOB = "102";
export const EVE = "103";
export const ROOM = "900";

export function message(seq: number, text = `text ${seq}`, more: Partial<ChatEvent> = {}): ChatEvent {
  return {
    type: "message",
    conversation: ROOM,
    seq,
    n: seq,
    id: String(10_000 + seq),
    sender: ANN,
    client_id: `c${seq}`,
    ts: 1_700_000_000_000 + seq * 1_000,
    target: null,
    body: { text },
    ...more,
  } as ChatEvent;
}

export function picture(seq: number, job = `j${seq}`): ChatEvent {
  return message(seq, "", {
    type: "picture",
    body: { job, prompt: "red heart", seed: 7, steps: 12, state: "queued" },
  } as Partial<ChatEvent>);
}

export function pictureDone(seq: number, target: number, job = `j${target}`): ChatEvent {
  return message(seq, "", {
    type: "picture.updated",
    n: null,
    target,
    client_id: null,
    body: { job, state: "done", file: "f.png", width: 64, height: 64, seed: 7 },
  } as Partial<ChatEvent>);
}

export function head(more: Partial<Conversation> = {}): Conversation {
  return {
    id: ROOM,
    kind: "group",
    name: "Room",
    owner: ANN,
    members: [
      { user: ANN, role: "owner" },
      { user: BOB, role: "member" },
    ],
    last_seq: 0,
    last_n: 0,
    first_seq: 1,
    read_seq: 0,
    read_n: 0,
    ts: 0,
    ...more,
  };
}

/** mulberry32: a small generator, so that random tests can be repeated by their seed. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const all = [...items];
  for (let i = all.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all;
}
