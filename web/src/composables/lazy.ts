/**
 * Components that are fetched when they are asked for.
 *
 * A fetch that fails is made again until the server is back. A server that is there and
 * does not have the file was upgraded meanwhile: the page loads itself anew, which
 * loses nothing (drafts and the outbox are in storage).
 */

import { defineAsyncComponent, type Component } from "vue";

import { serverAnswers } from "@/stomp/transport";

const QUICK_TRIES = 3;
const STEP_MS = 500;
const SLOW_MS = 3_000;

type Loader = () => Promise<{ default: Component }>;

export const lazy = (loader: Loader) =>
  defineAsyncComponent({
    loader,
    delay: 0,
    async onError(_, retry, __, attempts) {
      if (attempts <= QUICK_TRIES) setTimeout(retry, STEP_MS * attempts);
      else if (await serverAnswers()) location.reload();
      else setTimeout(retry, SLOW_MS);
    },
  });

/** Fetch them in a quiet moment, so that they open at once, and without a connection. */
export function prefetch(loaders: readonly Loader[]): void {
  const quiet = globalThis.requestIdleCallback ?? ((act: () => void) => setTimeout(act, 2_000));
  quiet(() => {
    for (const load of loaders) load().catch(() => undefined);
  });
}
