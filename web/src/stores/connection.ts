/** Ties the connection to the stores: what comes goes in, what waits goes out. */

import { defineStore } from "pinia";
import { computed, ref, shallowRef } from "vue";

import type { Ephemeral, Id } from "@/api/types";
import { Connection, type ConnectionState } from "@/stomp/connection";

import { useConversations } from "./conversations";
import { useDrafts } from "./drafts";
import { useOutbox } from "./outbox";
import { usePeople } from "./people";
import { usePictures } from "./pictures";
import { useSession } from "./session";
import { useTyping } from "./typing";

export const useConnection = defineStore("connection", () => {
  const session = useSession();
  const conversations = useConversations();
  const outbox = useOutbox();
  const pictures = usePictures();
  const typing = useTyping();
  const drafts = useDrafts();
  const people = usePeople();

  const state = shallowRef<ConnectionState>({ kind: "idle" });
  const now = ref(Date.now());
  let clock: ReturnType<typeof setInterval> | undefined;
  let openFor: Id | null = null;

  const secondsLeft = computed(() =>
    state.value.kind === "waiting"
      ? Math.max(0, Math.ceil((state.value.until - now.value) / 1_000))
      : 0,
  );
  const online = computed(() => state.value.kind === "online");

  const connection = new Connection({
    onState(next) {
      state.value = next;
      now.value = Date.now();
      clearInterval(clock);
      if (next.kind === "waiting") {
        clock = setInterval(() => {
          now.value = Date.now();
        }, 500);
      }
      const up = next.kind === "online";
      outbox.connect(up ? (destination, body) => connection.send(destination, body) : null);
      conversations.connect(
        up ? (conversation, seq) => connection.send("/app/chat.read", { conversation, seq }) : null,
      );
    },
    onEvent: (event) => conversations.receive(event),
    onEphemeral,
    async onOnline() {
      await conversations.sync();
    },
    isSessionOver: () => session.isOver(),
  });

  function onEphemeral(event: Ephemeral): void {
    if (event.type === "picture.progress") pictures.report(event);
    else if (event.type === "typing") typing.heard(event.conversation, event.user);
  }

  /** Signed in: show what is known, connect, and stay connected. */
  async function open(): Promise<void> {
    const me = session.me?.user;
    if (!me || openFor === me.id) return;
    close();
    openFor = me.id;
    people.take([me]);
    drafts.open(me.id);
    await outbox.open(me.id);
    void conversations.sync().catch(() => undefined); // the connection asks again
    connection.start();
    addEventListener("online", probe);
    addEventListener("offline", probe);
    document.addEventListener("visibilitychange", wake);
  }

  const probe = (): void => void connection.probe();
  /** Somebody looks again: don't let them wait. */
  const wake = (): void => {
    if (document.visibilityState === "visible" && state.value.kind === "waiting") connection.start();
  };

  function close(): void {
    openFor = null;
    connection.stop();
    outbox.close();
    conversations.clear();
    people.clear();
    removeEventListener("online", probe);
    removeEventListener("offline", probe);
    document.removeEventListener("visibilitychange", wake);
  }

  const retryNow = (): void => connection.start();
  const cancelPicture = (job: string) => connection.send("/app/pictures.cancel", { job });

  const TYPING_EVERY_MS = 3_000;
  let toldTyping = { conversation: "", at: 0 };
  /** One is writing; said at most every few seconds. */
  function tellTyping(conversation: Id): void {
    const at = Date.now();
    if (toldTyping.conversation === conversation && at - toldTyping.at < TYPING_EVERY_MS) return;
    toldTyping = { conversation, at };
    connection.tell("/app/chat.typing", { conversation });
  }

  /** What was written is sent: the next letter is news again. */
  function typed(): void {
    toldTyping = { conversation: "", at: 0 };
  }

  return { state, online, secondsLeft, open, close, retryNow, cancelPicture, tellTyping, typed };
});
