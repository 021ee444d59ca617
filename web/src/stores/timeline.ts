/**
 * The events of one conversation that this page holds: one dense stretch of `seq`.
 *
 * Theory of operation. A conversation's stream is numbered from 1 without holes, so
 * what to do with an event is said by its number alone, wherever it came from (live,
 * a page of history, a sync, the echo of one's own sending):
 *
 *     seq == last + 1   append it, then whatever waited behind it
 *     seq <= last       known already: ignore
 *     seq >  last + 1   keep it `ahead` and fetch the range between (`gap`)
 *
 * An event with a `target` also changes an earlier one. If that one lies before the
 * stretch, nothing is to be done: a page of history carries bodies already merged.
 * Hence the same set of events, in any order and any number of times, ends as the
 * same timeline (tests/timeline.test.ts).
 *
 * Values are never changed in place: a new timeline is a new object.
 */

import type { ChatEvent } from "@/api/types";

export interface Timeline {
  /** `seq` of `events[0]`, or of the first event to come when there are none. */
  readonly first: number;
  /** Dense: `events[i].seq == first + i`. */
  readonly events: readonly ChatEvent[];
  /** What arrived too early, by `seq`. */
  readonly ahead: ReadonlyMap<number, ChatEvent>;
}

/** `seq` of the newest event before any gap; 0 before the first event ever. */
export const lastSeq = (timeline: Timeline): number =>
  timeline.first + timeline.events.length - 1;

/** A timeline from the newest page; `last` is where it ends if the page is empty. */
export function openTimeline(events: readonly ChatEvent[], last: number): Timeline {
  const dense: ChatEvent[] = [];
  for (const event of events) {
    if (dense.length === 0 || event.seq === dense[0]!.seq + dense.length) dense.push(event);
  }
  return { first: dense[0]?.seq ?? last + 1, events: mergedWithin(dense), ahead: new Map() };
}

/** The timeline after `incoming`, and what was appended by it, in order. */
export function applyEvents(
  timeline: Timeline,
  incoming: readonly ChatEvent[],
): { timeline: Timeline; applied: ChatEvent[] } {
  const ahead = new Map(timeline.ahead);
  for (const event of incoming) {
    if (event.seq > lastSeq(timeline) && !ahead.has(event.seq)) ahead.set(event.seq, event);
  }
  const applied: ChatEvent[] = [];
  for (let next = lastSeq(timeline) + 1; ahead.has(next); next += 1) {
    applied.push(ahead.get(next)!);
    ahead.delete(next);
  }
  if (applied.length === 0 && ahead.size === timeline.ahead.size) {
    return { timeline, applied };
  }
  const events = [...timeline.events, ...applied];
  for (const event of applied) mergeInto(events, timeline.first, event);
  return { timeline: { first: timeline.first, events, ahead }, applied };
}

/** The timeline with an older page before it; a page that does not touch is ignored. */
export function prependEvents(timeline: Timeline, page: readonly ChatEvent[]): Timeline {
  const older = page.filter((event) => event.seq < timeline.first);
  const dense: ChatEvent[] = [];
  for (let i = older.length - 1; i >= 0; i -= 1) {
    if (older[i]!.seq === timeline.first - 1 - dense.length) dense.push(older[i]!);
  }
  if (dense.length === 0) return timeline;
  dense.reverse();
  return {
    first: dense[0]!.seq,
    events: [...mergedWithin(dense), ...timeline.events],
    ahead: timeline.ahead,
  };
}

/** The exclusive range to fetch, or null. `known` is the newest `seq` heard of. */
export function gap(timeline: Timeline, known = 0): { after: number; before: number } | null {
  const after = lastSeq(timeline);
  const before = timeline.ahead.size > 0 ? Math.min(...timeline.ahead.keys()) : known + 1;
  return before > after + 1 ? { after, before } : null;
}

function mergedWithin(events: readonly ChatEvent[]): ChatEvent[] {
  const merged = [...events];
  const first = merged[0]?.seq ?? 0;
  for (const event of events) mergeInto(merged, first, event);
  return merged;
}

function mergeInto(events: ChatEvent[], first: number, update: ChatEvent): void {
  if (update.target === null || update.type !== "picture.updated") return;
  const index = update.target - first;
  const target = events[index];
  if (target?.type !== "picture") return;
  events[index] = { ...target, body: { ...target.body, ...update.body } };
}

/**
 * The timeline after a sync's answer. Short holes are left for `gap` to fill; behind a
 * long one the old stretch is given up, older pages come when somebody scrolls there.
 */
export function catchUp(
  timeline: Timeline,
  events: readonly ChatEvent[],
  newest: number,
): { timeline: Timeline; applied: ChatEvent[] } {
  const result = applyEvents(timeline, events);
  const hole = gap(result.timeline, newest);
  if (hole === null || hole.before - hole.after <= WORTH_FETCHING) return result;
  const known = [...result.timeline.ahead.values()].sort((a, b) => a.seq - b.seq);
  const fresh = openTimeline(events, newest);
  return { timeline: applyEvents(fresh, known).timeline, applied: [...events] };
}

const WORTH_FETCHING = 400;
