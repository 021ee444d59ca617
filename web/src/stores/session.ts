/** Who sits here, and what server this is. */

import { defineStore } from "pinia";
import { computed, ref } from "vue";

import * as api from "@/api/endpoints";
import { ApiError } from "@/api/http";
import type { Limits, Me, ServerInfo } from "@/api/types";

const USUAL_LIMITS: Limits = {
  text_chars: 8_000,
  prompt_chars: 500,
  name_chars: 60,
  password_min: 8,
};

export const useSession = defineStore("session", () => {
  const me = ref<Me | null>(null);
  const server = ref<ServerInfo | null>(null);
  /** Whether the server was asked, and if it could not be reached. */
  const state = ref<"unknown" | "known" | "unreachable">("unknown");

  const limits = computed(() => server.value?.limits ?? USUAL_LIMITS);

  async function load(): Promise<void> {
    try {
      const [info, who] = await Promise.all([api.getServer(), whoAmI()]);
      server.value = info;
      me.value = who;
      state.value = "known";
    } catch {
      state.value = "unreachable";
    }
  }

  async function whoAmI(): Promise<Me | null> {
    try {
      return await api.getMe();
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      throw error;
    }
  }

  /** True if the session is known to be over. */
  async function isOver(): Promise<boolean> {
    try {
      const who = await whoAmI();
      if (who === null) me.value = null;
      return who === null;
    } catch {
      return false;
    }
  }

  function enter(who: Me): void {
    me.value = who;
    if (server.value) server.value = { ...server.value, setup_needed: false };
  }

  async function signOut(): Promise<void> {
    await api.logout();
    me.value = null;
  }

  return { me, server, state, limits, load, isOver, enter, signOut };
});
