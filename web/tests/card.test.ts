/** What stands under a picture. */

import "fake-indexeddb/auto";

import { createPinia } from "pinia";
import { afterEach, describe, expect, it } from "vitest";
import { type App, createApp, nextTick } from "vue";

import type { PictureBody, PictureEvent, PictureNote } from "@/api/types";
import PictureCard from "@/components/PictureCard.vue";
import { i18n, type Language, LANGUAGES, loadLanguage } from "@/i18n";

import { head, picture } from "./events";

const CUT: PictureNote = {
  code: "prompt_cut",
  message: "prompt: cut at 77 tokens; not read: “in the snow”",
  params: { room: 77, lost: "in the snow" },
};
let app: App | undefined;

async function under(body: Partial<PictureBody>, language: Language = "en"): Promise<string[]> {
  await loadLanguage(language);
  const event = picture(5) as PictureEvent;
  event.body = { ...event.body, state: "done", file: "f", width: 64, height: 64, ...body };
  const place = document.createElement("div");
  app = createApp(PictureCard, { event, own: false, named: false, conversation: head() });
  app.use(createPinia()).use(i18n).mount(place);
  await nextTick();
  const told = place.querySelectorAll("[data-testid=picture-note], [data-testid=picture-drawn-as]");
  return [...told].map((line) => line.textContent!.trim());
}

describe("under a picture", () => {
  afterEach(() => app?.unmount());

  it("there is nothing where the model has nothing to tell", async () => {
    expect(await under({})).toEqual([]);
    app!.unmount();
    expect(await under({ notes: [] })).toEqual([]);
  });

  it.each(LANGUAGES)("stands what was not read, in the reader's language: %s", async (language) => {
    const [line, ...more] = await under({ notes: [CUT] }, language);
    expect(more).toEqual([]);
    expect(line).toContain("in the snow");
    expect(line).toContain("77");
    expect(line).toBe(i18n.global.t("note.prompt_cut", { room: 77, lost: "in the snow" }));
    if (language !== "en") expect(line).not.toMatch(/tokens|read/);
  });

  it("stands what this page does not know yet, in the model's words", async () => {
    const note = { code: "something_new", message: "Drawn on a rainy day <b>" };
    expect(await under({ notes: [note] }, "ru")).toEqual(["Drawn on a rainy day <b>"]);
  });

  it("it comes after what the prompt was drawn as", async () => {
    const lines = await under({ drawn_as: "magic wand", notes: [CUT] });
    expect(lines[0]).toContain("magic wand");
    expect(lines[1]).toContain("in the snow");
  });

  it("it comes with the picture and not before", async () => {
    expect(await under({ state: "failed", reason: "why", notes: [CUT] })).toEqual([]);
  });
});
