/** What the composer does with what is typed. */

import { computed, nextTick, ref } from "vue";
import { useI18n } from "vue-i18n";

import type { Id } from "@/api/types";
import { useConnection } from "@/stores/connection";
import { useDrafts } from "@/stores/drafts";
import { useOutbox } from "@/stores/outbox";
import { useScreen } from "@/stores/screen";
import { useSession } from "@/stores/session";

import { countCharacters, parse, suggestions, type Command } from "./commands";

export const COMPOSER_ID = "composer-input";

export function focusComposer(): void {
  const input = document.getElementById(COMPOSER_ID) as HTMLTextAreaElement | null;
  input?.focus();
  input?.setSelectionRange(input.value.length, input.value.length);
}

/** Put text into a conversation's composer, ready to be changed and sent. */
export function prefillComposer(conversation: Id, text: string): void {
  useDrafts().set(conversation, text);
  void nextTick(focusComposer);
}

/** From which share of the limit on the count is shown. */
const COUNT_FROM = 0.8;

export function useComposer(id: () => Id) {
  const { t } = useI18n();
  const session = useSession();
  const drafts = useDrafts();
  const outbox = useOutbox();
  const connection = useConnection();
  const screen = useScreen();

  const text = computed({
    get: () => drafts.texts[id()] ?? "",
    set(next: string) {
      drafts.set(id(), next);
      closed.value = false;
      chosen.value = 0;
      if (next.trim() && !next.startsWith("/")) connection.tellTyping(id());
    },
  });

  const parsed = computed(() => parse(text.value));
  const drawing = computed(() => /^\/imagine(\s|$)/.test(text.value));
  const limit = computed(() =>
    drawing.value ? session.limits.prompt_chars : session.limits.text_chars,
  );
  const length = computed(() =>
    parsed.value.kind === "picture"
      ? countCharacters(parsed.value.wish.prompt)
      : countCharacters(text.value),
  );
  const left = computed(() => limit.value - length.value);
  const counted = computed(() => length.value >= limit.value * COUNT_FROM);
  const problem = computed(() => {
    if (left.value < 0) return t("composer.tooLong", { limit: limit.value });
    const { value } = parsed;
    if (value.kind === "wrong" && text.value.trim() !== "/imagine") return t(value.key, value.params ?? {});
    return "";
  });
  const sendable = computed(
    () => left.value >= 0 && parsed.value.kind !== "nothing" && parsed.value.kind !== "wrong",
  );

  // --- the list of commands

  const closed = ref(false);
  const chosen = ref(0);
  const offered = computed<readonly Command[]>(() => (closed.value ? [] : suggestions(text.value)));

  function choose(delta: number): void {
    const count = offered.value.length;
    if (count > 0) chosen.value = (chosen.value + delta + count) % count;
  }

  function take(command = offered.value[chosen.value]): void {
    if (!command) return;
    text.value = command.takesText ? `${command.name} ` : command.name;
    void nextTick(focusComposer);
  }

  // --- sending

  function send(): void {
    if (!sendable.value) return;
    const { value } = parsed;
    if (value.kind === "help") screen.show("help");
    else if (value.kind === "message") void outbox.add(id(), { kind: "message", text: value.text });
    else if (value.kind === "picture") void outbox.add(id(), { kind: "picture", ...value.wish });
    text.value = ""; // the outbox has it
    connection.typed();
  }

  function onKey(event: KeyboardEvent): void {
    if (event.isComposing) return; // Enter belongs to the input method
    const offering = offered.value.length > 0;
    if (offering && event.key === "ArrowDown") choose(1);
    else if (offering && event.key === "ArrowUp") choose(-1);
    else if (offering && (event.key === "Tab" || event.key === "Enter") && !event.shiftKey) take();
    else if (offering && event.key === "Escape") {
      closed.value = true;
      event.stopPropagation();
    } else if (event.key === "Enter" && !event.shiftKey && !event.altKey && !isTouch()) send();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
    else return;
    event.preventDefault();
  }

  return { text, drawing, left, counted, problem, sendable, offered, chosen, take, send, onKey };
}

/** On a touch keyboard Enter makes a line; the button sends. */
const isTouch = (): boolean => matchMedia("(pointer: coarse)").matches;
