/** The fields of a new account, checked before and after the server sees them. */

import { computed, reactive, ref } from "vue";
import { useI18n } from "vue-i18n";

import type { Account } from "@/api/endpoints";
import { ApiError } from "@/api/http";
import type { Me } from "@/api/types";
import { useSession } from "@/stores/session";

import { useErrors } from "./errors";

/** A handle that fits a name: "Ann Lee" → "ann.lee"; empty where none is obvious. */
export function handleFrom(name: string): string {
  return name
    .normalize("NFKD")
    .replace(/\p{Mn}/gu, "")
    .toLowerCase()
    .replace(/[^\p{L}\p{Nd}]+/gu, ".")
    .replace(/^\.+|\.+$/g, "")
    .slice(0, 32);
}

type Field = "name" | "handle" | "password";

export function useAccountForm(submit: (account: Account) => Promise<Me>) {
  const { t } = useI18n();
  const session = useSession();
  const { say } = useErrors();

  const values = reactive({ name: "", handle: "", password: "" });
  const errors = reactive<Partial<Record<Field, string>>>({});
  const general = ref("");
  const busy = ref(false);
  const ownHandle = ref(false);

  const name = computed({
    get: () => values.name,
    set(next: string) {
      values.name = next;
      delete errors.name;
      if (!ownHandle.value) values.handle = handleFrom(next);
    },
  });
  const handle = computed({
    get: () => values.handle,
    set(next: string) {
      values.handle = next;
      delete errors.handle;
      ownHandle.value = next !== "";
    },
  });
  const password = computed({
    get: () => values.password,
    set(next: string) {
      values.password = next;
      delete errors.password;
    },
  });

  function check(): boolean {
    const { password_min: min } = session.limits;
    if (!values.name.trim()) errors.name = t("form.nameMissing");
    if (!values.handle.trim()) errors.handle = t("form.handleMissing");
    if (values.password.length < min) errors.password = t("error.password_short", { limit: min });
    return Object.keys(errors).length === 0;
  }

  async function send(token: string): Promise<boolean> {
    general.value = "";
    if (!check()) return false;
    busy.value = true;
    try {
      session.enter(
        await submit({
          token,
          handle: values.handle.trim(),
          name: values.name.trim(),
          password: values.password,
        }),
      );
      return true;
    } catch (error) {
      const field = error instanceof ApiError ? error.field : undefined;
      if (field === "name" || field === "handle" || field === "password") errors[field] = say(error);
      else general.value = say(error);
      return false;
    } finally {
      busy.value = false;
    }
  }

  return { name, handle, password, errors, general, busy, send };
}
