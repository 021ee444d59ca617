/** How far the pictures are that are being drawn now: the lane that may drop. */

import { defineStore } from "pinia";
import { shallowRef } from "vue";

import type { ChatEvent, PictureProgress } from "@/api/types";

/**
 * The later of two reports about one job. Reports may overtake each other: drawing
 * comes after queued, a later step after an earlier one, and a report without a
 * preview keeps the last one seen.
 */
export function later(
  known: PictureProgress | undefined,
  report: PictureProgress,
): PictureProgress {
  if (known?.state !== "drawing") return report;
  if (report.state !== "drawing") return report; // the lease ran out: it queues again
  if (report.step < known.step && report.step > 1) return known;
  return { ...report, preview: report.preview ?? known.preview };
}

export const usePictures = defineStore("pictures", () => {
  const progress = shallowRef<ReadonlyMap<string, PictureProgress>>(new Map());
  const ended = new Set<string>();

  function report(reported: PictureProgress): void {
    if (ended.has(reported.job)) return;
    const next = new Map(progress.value);
    next.set(reported.job, later(next.get(reported.job), reported));
    progress.value = next;
  }

  /** The job's end is durable: late reports say nothing any more. */
  function settle(event: ChatEvent): void {
    if (event.type !== "picture.updated" || event.body.state === "queued") return;
    ended.add(event.body.job);
  }

  /** The picture itself is on the screen: its preview may go. */
  function forget(job: string): void {
    if (!progress.value.has(job)) return;
    const next = new Map(progress.value);
    next.delete(job);
    progress.value = next;
  }

  function clear(): void {
    progress.value = new Map();
    ended.clear();
  }

  return { progress, report, settle, forget, clear };
});
