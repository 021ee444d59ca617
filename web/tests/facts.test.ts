import { describe, expect, it } from "vitest";

import type { PictureBody } from "@/api/types";
import { factsOf } from "@/composables/facts";

const body = (more: Partial<PictureBody> = {}): PictureBody => ({
  job: "1", prompt: "fox", state: "done", seed: 7, ...more,
});
const facts = (more: Partial<PictureBody>) =>
  Object.fromEntries(factsOf(body(more), (ms) => `${ms / 1000} s`));

describe("the facts of a picture", () => {
  it("are those that are known", () => {
    expect(facts({ negative: "", model: "m", elapsed_ms: 250 })).toEqual({
      seed: 7, model: "m", took: "0.25 s",
    });
    expect(facts({ width: 40, height: 30 }).size).toBe("40 × 30");
  });

  it("say what it was drawn with, and before that what was asked for", () => {
    expect(facts({ steps: 12, guidance: 0 })).toMatchObject({ steps: 12, guidance: 0 });
    expect(facts({ drawn_steps: 25, drawn_guidance: 7.5 })).toMatchObject({
      steps: 25, guidance: 7.5,
    });
    expect(facts({})).not.toHaveProperty("steps");
  });

  it("say what an unknown prompt was drawn as", () => {
    expect(facts({ drawn_as: "magic wand" }).drawnAs).toBe("magic wand");
  });
});
