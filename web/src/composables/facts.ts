import type { PictureBody } from "@/api/types";

export type FactName =
  | "drawnAs" | "negative" | "seed" | "steps" | "guidance" | "size" | "model" | "took";

/**
 * What is known of a picture, in the order it is shown.
 *
 * Steps and guidance are those it was drawn with; before it is drawn, those asked for.
 */
export function factsOf(
  body: PictureBody,
  seconds: (ms: number) => string,
): [FactName, string | number][] {
  const size = body.width && body.height ? `${body.width} × ${body.height}` : "";
  const all: [FactName, string | number | null | undefined][] = [
    ["drawnAs", body.drawn_as],
    ["negative", body.negative],
    ["seed", body.seed],
    ["steps", body.drawn_steps ?? body.steps],
    ["guidance", body.drawn_guidance ?? body.guidance],
    ["size", size],
    ["model", body.model],
    ["took", body.elapsed_ms === undefined ? "" : seconds(body.elapsed_ms)],
  ];
  return all.filter(
    (fact): fact is [FactName, string | number] =>
      fact[1] !== undefined && fact[1] !== null && fact[1] !== "",
  );
}
