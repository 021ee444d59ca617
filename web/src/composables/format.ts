/** Times and numbers in the reader's language, by Intl. */

import { computed } from "vue";
import { useI18n } from "vue-i18n";

import { dayOf } from "./rows";

const DAY_MS = 86_400_000;

const formats = new Map<string, Intl.DateTimeFormat>();

function dateFormat(locale: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = locale + JSON.stringify(options);
  let format = formats.get(key);
  if (!format) formats.set(key, (format = new Intl.DateTimeFormat(locale, options)));
  return format;
}

/** `today`, `yesterday` or null, by the local calendar. */
export function nearDay(ts: number, now: number): "today" | "yesterday" | null {
  const day = dayOf(ts);
  if (day === dayOf(now)) return "today";
  const midnight = new Date(now);
  midnight.setHours(0, 0, 0, 0);
  return day === dayOf(midnight.getTime() - 1) ? "yesterday" : null;
}

/** The browser's own variant of a language ("en-GB" for "en"): it knows 24 hours from 12. */
export const regionalTag = (language: string, wanted: readonly string[]): string =>
  wanted.find((tag) => tag === language || tag.startsWith(`${language}-`)) ?? language;

export function useFormat() {
  const { t, locale } = useI18n();
  const tag = computed(() => regionalTag(locale.value, navigator.languages));

  const time = (ts: number) =>
    dateFormat(tag.value, { timeStyle: "short" }).format(ts);

  /** As in a list: the time today, the weekday this week, else the date. */
  const brief = (ts: number, now = Date.now()) => {
    const near = nearDay(ts, now);
    if (near === "today") return time(ts);
    if (near === "yesterday") return t("time.yesterday");
    if (now - ts < 6 * DAY_MS) return dateFormat(tag.value, { weekday: "short" }).format(ts);
    const year = new Date(ts).getFullYear() === new Date(now).getFullYear();
    return dateFormat(
      tag.value,
      year ? { day: "numeric", month: "short" } : { dateStyle: "short" },
    ).format(ts);
  };

  const day = (ts: number, now = Date.now()) => {
    const near = nearDay(ts, now);
    if (near) return t(`time.${near}`);
    const year = new Date(ts).getFullYear() === new Date(now).getFullYear();
    return dateFormat(tag.value, {
      weekday: "long",
      day: "numeric",
      month: "long",
      ...(year ? {} : { year: "numeric" }),
    }).format(ts);
  };

  const full = (ts: number) =>
    dateFormat(tag.value, { dateStyle: "full", timeStyle: "short" }).format(ts);

  const seconds = (ms: number) =>
    new Intl.NumberFormat(tag.value, {
      style: "unit",
      unit: "second",
      unitDisplay: "narrow",
      maximumFractionDigits: ms < 10_000 ? 1 : 0,
    }).format(ms / 1_000);

  const list = (names: readonly string[]) => new Intl.ListFormat(tag.value).format(names);

  return { time, brief, day, full, seconds, list };
}
