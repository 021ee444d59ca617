/** One picture message: what it shows now, what may be done with it. */

import { computed, ref, watch } from "vue";
import { useI18n } from "vue-i18n";

import { mediaUrl } from "@/api/endpoints";
import type { Conversation, PictureBody, PictureEvent } from "@/api/types";
import { Disconnected } from "@/stomp/connection";
import { useConnection } from "@/stores/connection";
import { useOutbox } from "@/stores/outbox";
import { usePictures } from "@/stores/pictures";
import { useSession } from "@/stores/session";
import { useToasts } from "@/stores/toasts";

import { useErrors } from "./errors";
import { useFormat } from "./format";

/** A name for the downloaded file that says what it is. */
export function fileName(body: PictureBody): string {
  const words = body.prompt
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 48);
  const extension = /\.(\w+)$/.exec(body.file ?? "")?.[1] ?? "png";
  return `${words || "picture"}${body.seed === undefined ? "" : `-${body.seed}`}.${extension}`;
}

export function usePicture(event: () => PictureEvent, conversation: () => Conversation | undefined) {
  const { t } = useI18n();
  const pictures = usePictures();
  const connection = useConnection();
  const outbox = useOutbox();
  const session = useSession();
  const toasts = useToasts();
  const errors = useErrors();
  const { seconds } = useFormat();

  const body = computed(() => event().body);
  const report = computed(() => pictures.progress.get(body.value.job));
  const waiting = computed(() => body.value.state === "queued" || body.value.state === "drawing");
  const drawing = computed(() => (report.value?.state === "drawing" ? report.value : null));
  const preview = computed(() => drawing.value?.preview ?? "");

  /** "Queued, no. 3 · about 12 s", "Step 4 of 20". */
  const line = computed(() => {
    const now = report.value;
    if (now?.state === "drawing") return t("picture.step", { step: now.step, steps: now.steps });
    if (now?.state !== "queued") return t("picture.queued");
    const place = t("picture.place", { position: now.position });
    return now.eta_ms ? `${place} · ${t("picture.eta", { time: seconds(now.eta_ms) })}` : place;
  });

  // --- the file

  const tries = ref(0);
  const loaded = ref(false);
  const broken = ref(false);
  const source = computed(() => {
    if (body.value.state !== "done" || !body.value.file) return "";
    return mediaUrl(body.value.file) + (tries.value > 0 ? `?try=${tries.value}` : "");
  });
  watch(source, () => {
    loaded.value = broken.value = false;
  });

  function onLoad(): void {
    loaded.value = true;
    pictures.forget(body.value.job);
  }

  function reload(): void {
    broken.value = false;
    tries.value += 1;
  }

  // --- wishes

  const cancelling = ref(false);
  const mayCancel = computed(() => {
    const me = session.me?.user.id;
    if (event().sender === me) return true;
    const role = conversation()?.members.find((member) => member.user === me)?.role;
    return conversation()?.kind === "group" && (role === "owner" || role === "admin");
  });

  async function cancel(): Promise<void> {
    cancelling.value = true;
    try {
      await connection.cancelPicture(body.value.job);
    } catch (error) {
      cancelling.value = false;
      if (error instanceof Disconnected) toasts.show(t("error.disconnected"), "error");
      else errors.toast(error);
    }
  }

  function ask(seed?: number): void {
    const { prompt, negative, steps, guidance } = body.value;
    void outbox.add(event().conversation, {
      kind: "picture",
      prompt,
      ...(negative ? { negative } : {}),
      ...(steps ? { steps } : {}),
      ...(guidance === undefined ? {} : { guidance }),
      ...(seed === undefined ? {} : { seed }),
    });
  }

  /** Same words, another seed. */
  const again = () => ask();
  /** Exactly the same. */
  const retry = () => ask(body.value.seed);

  return {
    body, report, waiting, drawing, preview, line,
    source, loaded, broken, onLoad, reload,
    cancelling, mayCancel, cancel, again, retry,
  };
}
