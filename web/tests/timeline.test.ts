import { describe, expect, it } from "vitest";

import type { ChatEvent } from "@/api/types";
import {
  applyEvents,
  catchUp,
  gap,
  lastSeq,
  openTimeline,
  prependEvents,
  type Timeline,
} from "@/stores/timeline";

import { generator, message, picture, pictureDone, shuffled } from "./events";

const apply = (timeline: Timeline, ...events: ChatEvent[]) => applyEvents(timeline, events).timeline;
const seqs = (timeline: Timeline) => timeline.events.map((event) => event.seq);

/** A stream with a picture that ends later, 1 … 40. */
const stream: ChatEvent[] = Array.from({ length: 40 }, (_, i) => {
  const seq = i + 1;
  if (seq === 7) return picture(7);
  if (seq === 19) return pictureDone(19, 7);
  return message(seq);
});

describe("a timeline", () => {
  it("appends the next event and ignores what it knows", () => {
    const one = apply(openTimeline([], 0), message(1));
    expect(seqs(one)).toEqual([1]);
    expect(apply(one, message(1, "twice"))).toBe(one);
  });

  it("keeps what comes too early aside and asks for the range between", () => {
    const timeline = apply(openTimeline([message(1)], 1), message(5), message(4));
    expect(seqs(timeline)).toEqual([1]);
    expect(gap(timeline)).toEqual({ after: 1, before: 4 });
    const filled = apply(timeline, message(2), message(3));
    expect(seqs(filled)).toEqual([1, 2, 3, 4, 5]);
    expect(gap(filled)).toBeNull();
  });

  it("asks for what the server says there is, even when nothing arrived", () => {
    expect(gap(openTimeline([message(1)], 1), 3)).toEqual({ after: 1, before: 4 });
    expect(gap(openTimeline([message(1)], 1), 1)).toBeNull();
  });

  it("reports what was applied in the order of the numbers", () => {
    const start = apply(openTimeline([], 0), message(3), message(2));
    const { applied } = applyEvents(start, [message(1)]);
    expect(applied.map((event) => event.seq)).toEqual([1, 2, 3]);
  });

  it("ends the same for every order, with repetitions and holes that are filled late", () => {
    const whole = apply(openTimeline([], 0), ...stream);
    for (let seed = 1; seed <= 300; seed += 1) {
      const random = generator(seed);
      const arriving = shuffled([...stream, ...stream.filter(() => random() < 0.4)], random);
      let timeline = openTimeline([], 0);
      while (arriving.length > 0) {
        const lost = random() < 0.15; // dropped on the way: comes back by the range
        const batch = arriving.splice(0, 1 + Math.floor(random() * 4));
        if (!lost) timeline = apply(timeline, ...batch);
      }
      for (let hole = gap(timeline, 40); hole; hole = gap(timeline, 40)) {
        const { after, before } = hole;
        const page = stream.filter((event) => event.seq > after && event.seq < before);
        timeline = apply(timeline, ...page);
      }
      expect(timeline.events, `seed ${seed}`).toEqual(whole.events);
      expect(timeline.ahead.size).toBe(0);
    }
  });

  it("ends the same when it starts from the newest page and pages back", () => {
    const whole = apply(openTimeline([], 0), ...stream);
    for (const size of [1, 3, 10]) {
      let timeline = openTimeline(whole.events.slice(-5), 40);
      while (timeline.first > 1) {
        // a page of history has bodies that are merged already
        const page = whole.events.filter((event) => event.seq < timeline.first).slice(-size);
        timeline = prependEvents(timeline, page);
      }
      expect(timeline.events).toEqual(whole.events);
    }
  });

  it("shows the end of a picture in the picture itself", () => {
    const timeline = apply(openTimeline([], 6), picture(7), message(8), pictureDone(9, 7));
    expect(timeline.events[0]).toMatchObject({ seq: 7, body: { state: "done", file: "f.png", prompt: "red heart" } });
  });

  it("ignores an update of what lies before it", () => {
    const timeline = apply(openTimeline([message(10)], 10), pictureDone(11, 3));
    expect(seqs(timeline)).toEqual([10, 11]);
  });

  it("ignores an older page that does not touch it", () => {
    const timeline = openTimeline([message(10)], 10);
    expect(prependEvents(timeline, [message(5), message(6)])).toBe(timeline);
    expect(seqs(prependEvents(timeline, [message(8), message(9), message(10)]))).toEqual([8, 9, 10]);
  });

  it("catches up over a short hole and lets go over a long one", () => {
    const old = openTimeline([message(1), message(2)], 2);
    const near = catchUp(old, [message(50)], 50).timeline;
    expect(lastSeq(near)).toBe(2);
    expect(gap(near, 50)).toEqual({ after: 2, before: 50 });
    const far = catchUp(old, [message(5000)], 5000).timeline;
    expect(seqs(far)).toEqual([5000]);
    expect(gap(far, 5000)).toBeNull();
  });

  it("does not change a timeline in place", () => {
    const before = openTimeline([picture(1)], 1);
    const copy = structuredClone(before.events);
    apply(before, message(2), pictureDone(3, 1));
    expect(before.events).toEqual(copy);
  });
});
