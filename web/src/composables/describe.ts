/** Conversations and events in words. */

import { useI18n } from "vue-i18n";

import type { ChatEvent, Conversation, Id } from "@/api/types";
import { useConversations } from "@/stores/conversations";
import { useOutbox } from "@/stores/outbox";
import { otherOf, usePeople } from "@/stores/people";
import { useSession } from "@/stores/session";

import { useFormat } from "./format";
import { plainLine } from "./markdown";

export interface Preview {
  kind: "draft" | "picture" | "text" | "system" | "none";
  /** Who said it, where that is not obvious. */
  who: string;
  text: string;
}

export function useDescribe() {
  const { t } = useI18n();
  const session = useSession();
  const people = usePeople();
  const conversations = useConversations();
  const outbox = useOutbox();
  const { list } = useFormat();

  const me = () => session.me?.user.id ?? "";
  const isSelf = (conversation: Conversation) =>
    conversation.kind === "single" && otherOf(conversation, me()) === me();

  /** Whose face it shows. */
  const faceOf = (conversation: Conversation): Id =>
    conversation.kind === "single" ? otherOf(conversation, me()) : conversation.id;

  const titleOf = (conversation: Conversation): string => {
    if (isSelf(conversation)) return t("chat.self");
    return conversation.kind === "single"
      ? people.nameOf(otherOf(conversation, me()))
      : conversation.name;
  };

  const subtitleOf = (conversation: Conversation): string => {
    if (isSelf(conversation)) return t("chat.selfHint");
    if (conversation.kind === "group") return t("chat.members", conversation.members.length);
    const handle = people.byId.get(otherOf(conversation, me()))?.handle;
    return handle ? `@${handle}` : "";
  };

  const nameOrYou = (id: Id) => (id === me() ? t("chat.you") : people.nameOf(id));

  /** A line about a change of who is here. */
  function systemLine(event: ChatEvent): string {
    const by = people.nameOf(event.sender);
    const mine = event.sender === me();
    if (event.type === "conversation.created") {
      if (event.body.kind === "single") return t("system.began");
      return t(mine ? "system.youCreated" : "system.created", { by, name: event.body.name });
    }
    if (event.type === "member.added") {
      const names = list(event.body.users.map(nameOrYou));
      return t(mine ? "system.youAdded" : "system.added", { by, names });
    }
    if (event.type === "member.removed") {
      const name = nameOrYou(event.body.user);
      if (event.body.user === event.sender) return t(mine ? "system.youLeft" : "system.left", { by });
      return t(mine ? "system.youRemoved" : "system.removed", { by, name });
    }
    return "";
  }

  /** The last thing said, for the list. */
  function previewOf(conversation: Conversation): Preview {
    const waiting = outbox.byConversation.get(conversation.id)?.at(-1);
    if (waiting) {
      const { wish } = waiting;
      const who = t("chat.you");
      return wish.kind === "message"
        ? { kind: "text", who, text: plainLine(wish.text) }
        : { kind: "picture", who, text: wish.prompt };
    }
    const events = conversations.timelines.get(conversation.id)?.events ?? [];
    for (let i = events.length - 1; i >= 0; i -= 1) {
      const event = events[i]!;
      if (event.type === "picture.updated") continue;
      const group = conversation.kind === "group";
      const who =
        event.sender === me() ? t("chat.you") : group ? people.nameOf(event.sender).split(" ")[0]! : "";
      if (event.type === "message") return { kind: "text", who, text: plainLine(event.body.text) };
      if (event.type === "picture") return { kind: "picture", who, text: event.body.prompt };
      return { kind: "system", who: "", text: systemLine(event) };
    }
    return { kind: "none", who: "", text: "" };
  }

  return { isSelf, faceOf, titleOf, subtitleOf, nameOrYou, systemLine, previewOf };
}
