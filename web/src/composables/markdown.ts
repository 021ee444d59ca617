/**
 * Message text to HTML that may be put into the page.
 *
 * Two independent guards: the parser makes no HTML of its input (`html: false`), and
 * what it makes passes an allow-list (DOMPurify). Pictures by URL are not rendered:
 * opening a message must not call another host.
 */

import DOMPurify from "dompurify";
import MarkdownIt from "markdown-it";

const parser = new MarkdownIt("default", { html: false, linkify: true, breaks: true }).disable([
  "image",
  "table",
  "reference",
  "html_block",
  "html_inline",
]);
const LINK = /^(?:https?|mailto):/i;
parser.validateLink = (url) => LINK.test(url);
parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
parser.renderer.rules.link_open = (tokens, index, options, _env, self) => {
  tokens[index]!.attrSet("target", "_blank");
  tokens[index]!.attrSet("rel", "noopener noreferrer nofollow");
  return self.renderToken(tokens, index, options);
};

const ALLOWED = {
  ALLOWED_TAGS: [
    "p", "br", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a", "hr",
    "h1", "h2", "h3", "h4", "h5", "h6",
  ],
  ALLOWED_ATTR: ["href", "target", "rel", "start"],
  ALLOWED_URI_REGEXP: LINK,
  ADD_URI_SAFE_ATTR: ["target", "rel", "start"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
};

const CACHED = 500;
const cache = new Map<string, string>();

/** Safe HTML for `text`; the newest texts are remembered. */
export function renderMarkdown(text: string): string {
  const known = cache.get(text);
  if (known !== undefined) return known;
  const html = DOMPurify.sanitize(parser.render(text), ALLOWED);
  if (cache.size >= CACHED) cache.delete(cache.keys().next().value!);
  cache.set(text, html);
  return html;
}

/** One plain line for lists and announcements. */
export function plainLine(text: string): string {
  return text
    .replace(/^\s*(?:>+|#{1,6})\s/gm, "")
    .replace(/```\w*/g, " ")
    .replace(/[*~`]{1,3}(?=\S)|(?<=\S)[*~`]{1,3}/g, "")
    .replace(/(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)/g, "")
    .replace(/\s+/g, " ")
    .trim();
}

const EMOJI = /^(?:\p{Extended_Pictographic}|\p{Emoji_Component}|\u200d|\ufe0f|\s)+$/u;

/** A message of one to three emoji and nothing else is shown large. */
export function isLargeEmoji(text: string): boolean {
  if (text.length > 40 || !EMOJI.test(text) || !/\p{Extended_Pictographic}/u.test(text)) return false;
  const parts = [...new Intl.Segmenter().segment(text.replace(/\s/g, ""))];
  return parts.length <= 3;
}
