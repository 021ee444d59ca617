// @vitest-environment jsdom
import DOMPurify from "dompurify";
import { describe, expect, it } from "vitest";

import { decodeHTMLStrict } from "@/composables/entities";
import { isLargeEmoji, plainLine, renderMarkdown } from "@/composables/markdown";

function rendered(text: string): HTMLElement {
  const box = document.createElement("div");
  box.innerHTML = renderMarkdown(text);
  return box;
}

const ATTACKS = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg onload=alert(1)>",
  "<svg><script>alert(1)</script></svg>",
  "<iframe src=javascript:alert(1)></iframe>",
  "<a href=\"javascript:alert(1)\">x</a>",
  "[x](javascript:alert(1))",
  "[x](JaVaScRiPt:alert(1))",
  "[x](java\tscript:alert(1))",
  "[x](&#106;avascript:alert(1))",
  "[x](&#x6A&#x61;vascript:alert(1))",
  "[x](data:text/html;base64,PHNjcmlwdD4=)",
  "[x](vbscript:msgbox)",
  "[x](file:///etc/passwd)",
  "[x](blob:https://example.org/1)",
  "![x](https://evil.example/pixel.png)",
  "![x](javascript:alert(1))",
  "<javascript:alert(1)>",
  "[x]: javascript:alert(1)\n[x]",
  "`<img src=x onerror=alert(1)>`",
  "```\n<script>alert(1)</script>\n```",
  "<style>*{display:none}</style>",
  "<form action=https://evil.example><button>go</button></form>",
  "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
  "<details open ontoggle=alert(1)>",
  "[a](https://example.org \"onmouseover=alert(1)\")",
  "[a](https://example.org/\" onmouseover=\"alert(1))",
  "&lt;script&gt;alert(1)&lt;/script&gt;",
  "<p style=\"position:fixed;inset:0\">cover</p>",
  "<base href=https://evil.example>",
  "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
];

const ALLOWED = new Set("P BR STRONG EM S CODE PRE BLOCKQUOTE UL OL LI A HR H1 H2 H3 H4 H5 H6".split(" "));

describe("markdown", () => {
  it("is really sanitised here: the environment has what the sanitiser needs", () => {
    expect(DOMPurify.isSupported).toBe(true);
    expect(DOMPurify.sanitize("<img src=x onerror=alert(1)>")).not.toContain("onerror");
  });

  it.each(ATTACKS)("makes nothing dangerous of %s", (attack) => {
    for (const element of rendered(attack).querySelectorAll("*")) {
      expect(ALLOWED).toContain(element.tagName);
      for (const { name, value } of element.attributes) {
        expect(["href", "target", "rel", "start"]).toContain(name);
        if (name === "href") expect(value).toMatch(/^(https?|mailto):/i);
      }
    }
  });

  it("shows HTML as the text that it is", () => {
    expect(rendered("<b>no</b>").textContent!.trim()).toBe("<b>no</b>");
  });

  it("renders the usual marks", () => {
    const html = renderMarkdown("**a** *b* ~~c~~ `d`\n> e\n\n- f");
    for (const tag of ["<strong>a", "<em>b", "<s>c", "<code>d", "<blockquote>", "<li>f"]) expect(html).toContain(tag);
  });

  it("opens links in a new tab without a way back", () => {
    const link = rendered("see https://example.org/a?b=1").querySelector("a")!;
    expect(link.getAttribute("href")).toBe("https://example.org/a?b=1");
    expect(link.getAttribute("target")).toBe("_blank");
    expect(link.getAttribute("rel")).toContain("noopener");
  });

  it("keeps line breaks", () => {
    expect(renderMarkdown("a\nb")).toContain("<br>");
  });

  it("says a text in one plain line", () => {
    expect(plainLine("**Hello**\n`you`  _there_\n> quote")).toBe("Hello you there quote");
    expect(plainLine("2 * 3 = 6 and a_b")).toBe("2 * 3 = 6 and a_b");
  });

  it("enlarges one to three emoji, nothing else", () => {
    for (const text of ["👋", "❤️", "👩‍👩‍👧 🎨", "👍🏽"]) expect(isLargeEmoji(text), text).toBe(true);
    for (const text of ["hi 👋", "7", "#", "", "🎨🎨🎨🎨"]) expect(isLargeEmoji(text), text).toBe(false);
  });
});

describe("an entity", () => {
  it.each([
    ["&amp;", "&"],
    ["&#65;", "A"],
    ["&#x1F600;", "😀"],
    ["&mdash;", "—"],
    ["&nosuch;", "&nosuch;"],
    ["&#0;", "&#0;"],
    ["&#xD800;", "&#xD800;"],
    ["&#9999999;", "&#9999999;"],
    ["&constructor;", "&constructor;"],
  ])("%s → %s", (entity, text) => {
    expect(decodeHTMLStrict(entity)).toBe(text);
  });
});
