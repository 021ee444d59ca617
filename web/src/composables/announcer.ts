/** Says what arrived, to those who do not see it; many at once become one sentence. */

import { onScopeDispose, ref } from "vue";

const WAIT_MS = 600;
const AT_MOST = 3;

export function useAnnouncer(summary: (count: number) => string) {
  const said = ref("");
  let waiting: string[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;

  function announce(line: string): void {
    waiting.push(line);
    timer ??= setTimeout(() => {
      said.value = waiting.length > AT_MOST ? summary(waiting.length) : waiting.join(". ");
      waiting = [];
      timer = undefined;
    }, WAIT_MS);
  }

  onScopeDispose(() => clearTimeout(timer));
  return { said, announce };
}
