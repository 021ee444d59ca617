/** Small decisions that have a rule each. */

import { describe, expect, it } from "vitest";

import type { PictureProgress } from "@/api/types";
import { handleFrom } from "@/composables/accountForm";
import { nearDay, regionalTag } from "@/composables/format";
import { tokenIn } from "@/composables/links";
import { mayRemove, sortedMembers } from "@/composables/members";
import { fileName } from "@/composables/picture";
import { seenBoth } from "@/composables/reading";
import { matches } from "@/composables/search";
import { shortcutOf } from "@/composables/shortcuts";
import { documentTitle } from "@/composables/title";
import { backoff } from "@/stomp/backoff";
import { later } from "@/stores/pictures";
import { initials } from "@/ui/avatar";

import { ANN, BOB, EVE, head, ROOM } from "./events";

describe("coming back", () => {
  it("waits longer each time, never above the ceiling, and by chance", () => {
    expect(backoff(1, null, () => 1)).toBe(1_000);
    expect(backoff(3, null, () => 1)).toBe(4_000);
    expect(backoff(50, null, () => 1)).toBe(20_000);
    expect(backoff(50, null, () => 0)).toBe(250);
  });

  it("waits half a second to three when the server said that it restarts", () => {
    expect(backoff(1, 1012, () => 0)).toBe(500);
    expect(backoff(1, 1012, () => 1)).toBe(3_000);
    expect(backoff(4, 1012, () => 1)).toBe(8_000);
  });
});

describe("progress of a picture", () => {
  const at = { type: "picture.progress", conversation: ROOM, seq: 1, job: "j" } as const;
  const drawing = (step: number, preview?: string): PictureProgress => ({ ...at, state: "drawing", step, steps: 12, preview });

  it("never goes back, and keeps the last preview", () => {
    const now = later(drawing(5, "five"), drawing(6));
    expect(now).toMatchObject({ step: 6, preview: "five" });
    expect(later(now, drawing(3, "three"))).toBe(now);
  });

  it("starts again when the job is given again", () => {
    expect(later(drawing(9, "nine"), drawing(1))).toMatchObject({ step: 1 });
    const queued: PictureProgress = { ...at, state: "queued", position: 1, ahead: 0, eta_ms: 100 };
    expect(later(drawing(9), queued)).toBe(queued);
  });
});

describe("keys", () => {
  const key = (name: string, more: Partial<KeyboardEvent> = {}) =>
    ({ key: name, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more });

  it("mean what the sheet says", () => {
    expect(shortcutOf(key("k", { ctrlKey: true }), false)).toBe("switcher");
    expect(shortcutOf(key("K", { metaKey: true }), false)).toBe("switcher");
    expect(shortcutOf(key("ArrowDown", { altKey: true }), false)).toBe("next");
    expect(shortcutOf(key("ArrowUp", { altKey: true, shiftKey: true }), false)).toBe("previousUnread");
    expect(shortcutOf(key("?"), true)).toBe("help");
  });

  it("mean letters outside the history", () => {
    expect(shortcutOf(key("?"), false)).toBeNull();
    expect(shortcutOf(key("k"), true)).toBeNull();
    expect(shortcutOf(key("ArrowDown"), true)).toBeNull();
  });
});

describe("small words", () => {
  it("make a handle of a name", () => {
    expect(handleFrom("Ann Lee")).toBe("ann.lee");
    expect(handleFrom("  José  Núñez! ")).toBe("jose.nunez");
    expect(handleFrom("王小明")).toBe("王小明");
    expect(handleFrom("👋")).toBe("");
  });

  it("make initials of a name", () => {
    expect(initials("Ann Lee")).toBe("AL");
    expect(initials("ann")).toBe("A");
    expect(initials("王 小明")).toBe("王");
    expect(initials("Борис Петров")).toBe("БП");
    expect(initials("")).toBe("");
  });

  it("find people by the beginnings of words, accents and case aside", () => {
    expect(matches("jose nu", "José Núñez", "jn")).toBe(true);
    expect(matches("", "anybody")).toBe(true);
    expect(matches("狐", "红色的狐狸")).toBe(true);
    expect(matches("bob", "Ann")).toBe(false);
  });

  it("name a file after its picture", () => {
    expect(fileName({ job: "1", prompt: "Red heart, big!", seed: 7, state: "done", file: "x.webp" })).toBe("red-heart-big-7.webp");
    expect(fileName({ job: "1", prompt: "../../etc", state: "done", file: "123" })).toBe("etc.png");
    expect(fileName({ job: "1", prompt: "🎨", state: "done" })).toBe("picture.png");
  });

  it("put the unread count into the title", () => {
    expect(documentTitle(0, "")).toBe("Salon");
    expect(documentTitle(3, "Ann")).toBe("(3) Ann · Salon");
    expect(documentTitle(120, "")).toBe("(99+) Salon");
  });

  it("take a token from behind the hash", () => {
    expect(tokenIn("#token=a-b_c")).toBe("a-b_c");
    expect(tokenIn("#other")).toBe("");
  });

  it("take dates and times as the reader's region writes them", () => {
    expect(regionalTag("en", ["de", "en-GB", "en"])).toBe("en-GB");
    expect(regionalTag("zh", ["en-US"])).toBe("zh");
  });

  it("know today and yesterday by the calendar, not by hours", () => {
    const morning = new Date(2026, 2, 30, 0, 30).getTime();
    expect(nearDay(morning - 60 * 60_000, morning)).toBe("yesterday");
    expect(nearDay(morning + 60_000, morning)).toBe("today");
    expect(nearDay(morning - 26 * 3_600_000, morning)).toBeNull();
  });
});

describe("who may do what", () => {
  const room = head({
    members: [
      { user: EVE, role: "member" },
      { user: BOB, role: "admin" },
      { user: ANN, role: "owner" },
    ],
  });

  it("puts owner and admins first", () => {
    expect(sortedMembers(room, (id) => id).map((member) => member.user)).toEqual([ANN, BOB, EVE]);
  });

  it("offers to remove those of lower rank only", () => {
    expect(mayRemove(room, ANN, BOB)).toBe(true);
    expect(mayRemove(room, BOB, ANN)).toBe(false);
    expect(mayRemove(room, BOB, EVE)).toBe(true);
    expect(mayRemove(room, EVE, EVE)).toBe(false);
    expect(mayRemove({ ...room, kind: "single" }, ANN, BOB)).toBe(false);
  });
});

describe("reading", () => {
  it("counts what was in view both times", () => {
    expect(seenBoth(10, 14)).toBe(10);
    expect(seenBoth(10, 4)).toBe(4);
  });
});
