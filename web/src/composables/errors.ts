/** Refusals in the reader's language: by code, else in the server's English. */

import { useI18n } from "vue-i18n";

import { ApiError } from "@/api/http";
import type { Refusal } from "@/api/types";
import { useToasts } from "@/stores/toasts";

export function useErrors() {
  const { t, te } = useI18n();
  const toasts = useToasts();

  function sentence(refusal: Refusal): string {
    const key = `error.${refusal.code}`;
    const seconds = Math.ceil(refusal.retry_after ?? 0);
    return te(key) || te(key, "en")
      ? t(key, { ...refusal.params, seconds })
      : refusal.message || t("error.unknown");
  }

  function say(error: unknown): string {
    if (!(error instanceof ApiError)) return t("error.unknown");
    const { code, message, params, retryAfter } = error;
    return sentence({ code, message, params, retry_after: retryAfter });
  }

  const toast = (error: unknown): void => toasts.show(say(error), "error");

  return { sentence, say, toast };
}
