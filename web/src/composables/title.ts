/** "(3) Ann · Salon", and a dot on the icon while something is unread. */

import { watchEffect } from "vue";

export function documentTitle(unread: number, title: string): string {
  const count = unread > 0 ? `(${unread > 99 ? "99+" : unread}) ` : "";
  return `${count}${title ? `${title} · ` : ""}Salon`;
}

export function useTitle(unread: () => number, title: () => string): void {
  watchEffect(() => {
    document.title = documentTitle(unread(), title());
    const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
    const href = unread() > 0 ? "/favicon-unread.svg" : "/favicon.svg";
    if (icon && icon.getAttribute("href") !== href) icon.setAttribute("href", href);
  });
}
