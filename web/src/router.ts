import { createRouter, createWebHistory } from "vue-router";

import { useSession } from "@/stores/session";

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: "/setup", name: "setup", component: () => import("@/views/SetupView.vue") },
    { path: "/join", name: "join", component: () => import("@/views/JoinView.vue") },
    { path: "/sign-in", name: "sign-in", component: () => import("@/views/SignInView.vue") },
    { path: "/", name: "home", component: () => import("@/views/ChatView.vue") },
    {
      path: "/c/:id(\\d+)",
      name: "conversation",
      component: () => import("@/views/ChatView.vue"),
    },
    { path: "/:rest(.*)*", redirect: "/" },
  ],
});

const OPEN = new Set(["setup", "join", "sign-in"]);

router.beforeEach(async (to) => {
  const session = useSession();
  if (session.state === "unknown") await session.load();
  if (session.state === "unreachable") return true; // App says so and tries again
  if (session.server?.setup_needed && to.name !== "setup") return { name: "setup" };
  if (to.name === "sign-in" && session.me) return { name: "home" };
  if (OPEN.has(String(to.name)) || session.me) return true;
  return { name: "sign-in", query: to.name === "conversation" ? { next: to.fullPath } : {} };
});
