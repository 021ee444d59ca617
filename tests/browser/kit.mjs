// What browser tests share: Chromium, two people, axe, screenshots, watching for faults.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(new URL("../../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

export const id = (name) => `[data-testid="${name}"]`;

/** Debian's Chromium, which calls nobody. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

export class Problem extends Error {}

/** Fails with words. */
export function must(condition, words) {
  if (!condition) throw new Problem(words);
}

/** Wait until `check` returns something true; its last value is returned. */
export async function until(words, check, ms = 20_000) {
  const end = Date.now() + ms;
  let last;
  do {
    last = await check();
    if (last) return last;
    await new Promise((resolve) => setTimeout(resolve, 100));
  } while (Date.now() < end);
  throw new Problem(`not within ${ms / 1000} s: ${words}`);
}

/** One person: a browser context of their own, with everything watched. */
export class Person {
  static async arrive(browser, name, { base, report, ...options }) {
    const context = await browser.newContext({
      viewport: { width: 1280, height: 800 },
      colorScheme: "light",
      reducedMotion: "reduce",
      locale: "en-GB",
      ...options,
    });
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: base });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    return new Person(name, page, base, report);
  }

  constructor(name, page, base, report) {
    this.name = name;
    this.page = page;
    this.report = report;
    this.sent = [];
    /** While the server is away, failed requests are what is to be expected. */
    this.away = false;
    const origin = new URL(base).origin;
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(origin) && !/^(data|blob):/.test(url)) report.offOrigin.push(url);
    });
    page.on("pageerror", (error) => report.errors.push(`${name}: ${error.message}`));
    page.on("console", (message) => {
      const text = message.text();
      if (/Content Security Policy/i.test(text)) report.errors.push(`${name}: ${text}`);
      else if (message.type() === "error" && !this.away && !/status of 401/.test(text)) {
        report.errors.push(`${name}: ${text}`);
      }
    });
  }

  find(testId, more = "") {
    return this.page.locator(id(testId) + more);
  }

  async fillAccount(fields) {
    for (const [name, value] of Object.entries(fields)) {
      await this.page.fill(`input[name=${name}]`, value);
    }
    await this.page.click("button[type=submit]");
  }

  /** Type into the composer and press Enter; `shown` where marks are rendered. */
  async say(text, { shown = text, waitForTick = true } = {}) {
    const input = this.find("composer-input");
    await input.fill(text);
    await input.press("Enter");
    must((await input.inputValue()) === "", `${this.name}'s composer still holds “${text}”`);
    if (text.startsWith("/")) return;
    this.sent.push(shown);
    if (waitForTick) await this.ticked(shown);
  }

  message(text) {
    return this.page.locator(id("message"), { hasText: text });
  }

  /** The message is shown here with the tick of durability. */
  async ticked(text) {
    await this.message(text).locator(`${id("message-state")}[data-state="sent"]`).waitFor();
  }

  async hears(text) {
    await this.message(text).waitFor();
  }

  async open(title) {
    await this.page.locator(id("conversation-item"), { hasText: title }).click();
    await this.page.locator(id("conversation-title"), { hasText: title }).waitFor();
  }

  picture(prompt) {
    return this.page.locator(id("picture"), { hasText: prompt }).last();
  }

  async pictureState(prompt, state, ms = 60_000) {
    await until(
      `${this.name} sees “${prompt}” ${state}`,
      async () => {
        const now = await this.picture(prompt).getAttribute("data-state", { timeout: 500 }).catch(() => null);
        must(now !== "failed" || state === "failed", `the picture “${prompt}” failed`);
        return now === state;
      },
      ms,
    );
  }

  /** A window so tall that the virtual history shows all of its lines. */
  async tall(act) {
    const size = this.page.viewportSize();
    await this.page.setViewportSize({ width: size.width, height: 8_000 });
    try {
      return await act();
    } finally {
      await this.page.setViewportSize(size);
    }
  }

  /** All that the open conversation shows, in order. */
  transcript() {
    return this.tall(() => this.readTranscript());
  }

  async readTranscript() {
    await until(`${this.name}'s history stands still`, async () => {
      const count = () => this.find("message").count();
      const before = await count();
      await this.page.waitForTimeout(300);
      return before > 0 && before === (await count());
    });
    return this.page.evaluate(() =>
      [...document.querySelectorAll('[data-testid="message"]')].map((row) => {
        const picture = row.querySelector('[data-testid="picture"]');
        return picture
          ? `[${picture.dataset.state}] ${row.querySelector('[data-testid="picture-prompt"]').textContent.trim()}`
          : row.querySelector('[data-testid="message-text"]').textContent.trim();
      }),
    );
  }

  async scheme(colorScheme) {
    await this.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
  }

  async language(code) {
    await this.find("settings-menu").click();
    await this.find(`language-${code}`).click();
    await this.page.keyboard.press("Escape");
    await until(`the page speaks ${code}`, () =>
      this.page.evaluate((wanted) => document.documentElement.lang.startsWith(wanted), code),
    );
  }

  /** Axe over what is on the screen, in light and dark; violations go to the report. */
  async axe(screen) {
    for (const scheme of ["light", "dark"]) {
      await this.scheme(scheme);
      await this.page.evaluate(
        () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
      );
      const there = await this.page.evaluate(() => typeof globalThis.axe !== "undefined");
      if (!there) await this.page.evaluate(axeSource);
      const found = await this.page.evaluate(
        (tags) => globalThis.axe.run(document, { runOnly: { type: "tag", values: tags } }),
        AXE_TAGS,
      );
      this.report.axe.screens.push(`${screen} ${scheme}`);
      for (const violation of found.violations) {
        this.report.axe.violations.push({
          screen: `${screen} ${scheme}`,
          rule: violation.id,
          nodes: violation.nodes.slice(0, 3).map((node) => `${node.target.join(" ")}: ${node.failureSummary?.split("\n")[1]?.trim()}`),
        });
      }
    }
    await this.scheme(this.ownScheme ?? "light");
  }

  /** A screenshot as a reader sees it: no ring from the last key. */
  async shot(folder, name) {
    if ((await this.page.locator("[role=dialog]").count()) === 0) {
      await this.page.evaluate(() => document.activeElement?.blur());
    }
    await this.page.waitForTimeout(200);
    await this.page.screenshot({ path: join(folder, `${name}.png`) });
  }
}
