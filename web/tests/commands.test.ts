import { describe, expect, it } from "vitest";

import { countCharacters, parse, suggestions } from "@/composables/commands";
import { typedAs } from "@/composables/rescue";

describe("the composer", () => {
  it("sends text, without the space around it", () => {
    expect(parse("  hello\nyou ")).toEqual({ kind: "message", text: "hello\nyou" });
    expect(parse(" \n ")).toEqual({ kind: "nothing" });
  });

  it("asks for a picture", () => {
    expect(parse("/imagine red heart")).toEqual({ kind: "picture", wish: { prompt: "red heart" } });
    expect(parse("/imagine 一颗红心")).toEqual({ kind: "picture", wish: { prompt: "一颗红心" } });
    expect(parse("/imagine a\n red  heart")).toEqual({ kind: "picture", wish: { prompt: "a red heart" } });
  });

  it("takes settings after the prompt", () => {
    expect(parse("/imagine red heart --seed 7 --no green grass --steps 20 --guidance 3.5")).toEqual({
      kind: "picture",
      wish: { prompt: "red heart", seed: 7, negative: "green grass", steps: 20, guidance: 3.5 },
    });
  });

  it("takes the long dash of a telephone for two hyphens", () => {
    expect(parse("/imagine fox —seed 7")).toEqual({ kind: "picture", wish: { prompt: "fox", seed: 7 } });
    expect(parse("/imagine fox —red")).toEqual({ kind: "picture", wish: { prompt: "fox —red" } });
  });

  it("does not take a dash in a prompt for a setting", () => {
    expect(parse("/imagine a half-eaten cake -- with --5 candles")).toMatchObject({
      kind: "picture",
      wish: { prompt: "a half-eaten cake -- with --5 candles" },
    });
  });

  it.each([
    ["/imagine", "composer.promptMissing"],
    ["/imagine --seed 7", "composer.promptMissing"],
    ["/imagine cat --seed x", "composer.flagRange"],
    ["/imagine cat --seed -1", "composer.flagRange"],
    ["/imagine cat --seed 1.5", "composer.flagRange"],
    ["/imagine cat --steps 1000", "composer.flagRange"],
    ["/imagine cat --seed", "composer.flagRange"],
    ["/imagine cat --colour red", "composer.flagUnknown"],
    ["/imagine cat --constructor 1", "composer.flagUnknown"],
  ])("says what is wrong with %s", (input, key) => {
    expect(parse(input)).toMatchObject({ kind: "wrong", key });
  });

  it("knows help, and takes other slashes for text", () => {
    expect(parse("/help")).toEqual({ kind: "help" });
    expect(parse("/etc/passwd is a file")).toEqual({ kind: "message", text: "/etc/passwd is a file" });
    expect(parse("/shrug")).toEqual({ kind: "message", text: "/shrug" });
    expect(parse("//imagine is a command")).toEqual({ kind: "message", text: "/imagine is a command" });
  });

  it("offers commands while only the word is typed", () => {
    expect(suggestions("/").map((command) => command.name)).toEqual(["/imagine", "/help"]);
    expect(suggestions("/im").map((command) => command.name)).toEqual(["/imagine"]);
    for (const input of ["", "hi /", "/imagine", "/imagine ", "/x"]) expect(suggestions(input)).toEqual([]);
  });

  it("counts characters as the server does", () => {
    expect(countCharacters("héllo")).toBe(5);
    expect(countCharacters("狐狸😀")).toBe(3);
  });

  it.each([
    { kind: "picture", prompt: "red heart", seed: 7, negative: "grass" },
    { kind: "picture", prompt: "fox" },
  ] as const)("gives a wish back as one would type it: %j", (wish) => {
    const { kind: _, ...rest } = wish;
    expect(parse(typedAs(wish))).toEqual({ kind: "picture", wish: rest });
  });

  it("gives a text that looks like a command back so that it stays text", () => {
    expect(parse(typedAs({ kind: "message", text: "/imagine is a command" }))).toEqual({
      kind: "message",
      text: "/imagine is a command",
    });
  });
});
