// A front end written for S0, in Chromium, on `salon classic --identity-from-headers`.
// Its libraries come from cdnjs in name; what is served is npm's copy, as nothing here
// may call the network. Prints one line of JSON: what each page has shown.

import { readFileSync } from "node:fs";
import { launch, must, until } from "./kit.mjs";

const base = process.env.BASE_URL;
const node = new URL("../interop/stomp/node/node_modules/", import.meta.url);
const LIBRARIES = {
  "sockjs.min.js": new URL("sockjs-client-1-1-4/dist/sockjs.min.js", node),
  "stomp.min.js": new URL("stompjs/lib/stomp.min.js", node),
};
const report = { ok: false, errors: [], offOrigin: [], pages: {}, transports: {} };

class Window {
  static async open(browser, name, page, { webSocket = true } = {}) {
    const context = await browser.newContext();
    if (!webSocket) await context.addInitScript(() => delete globalThis.WebSocket);
    const made = new Window(name, await context.newPage());
    await made.watch();
    await made.page.goto(`${base}${page}`);
    return made;
  }

  constructor(name, page) {
    this.name = name;
    this.page = page;
    this.transport = null;
  }

  async watch() {
    this.page.on("pageerror", (error) => report.errors.push(`${this.name}: ${error.message}`));
    this.page.on("console", (said) => {
      if (said.type() === "error" && !/404/.test(said.text())) {
        report.errors.push(`${this.name}: ${said.text()}`);
      }
    });
    this.page.on("websocket", () => (this.transport = "websocket"));
    this.page.on("request", (request) => {
      const url = request.url();
      if (url.includes("/xhr_streaming")) this.transport = "xhr_streaming";
      if (!url.startsWith(base) && !url.includes("cdnjs")) report.offOrigin.push(url);
    });
    await this.page.route("https://cdnjs.cloudflare.com/**", (route) => {
      const file = LIBRARIES[route.request().url().split("/").pop()];
      return file
        ? route.fulfill({ contentType: "text/javascript", body: readFileSync(file, "utf8") })
        : route.abort();
    });
  }

  async join(fields = {}) {
    for (const [id, value] of Object.entries({ name: this.name, ...fields })) {
      await this.page.fill(`#${id}`, value);
    }
    await this.page.click("#who button");
    await this.page.locator("#say:not([hidden])").waitFor({ timeout: 15_000 });
    report.transports[this.name] = this.transport;
  }

  async say(text) {
    await this.page.fill("#text", text);
    await this.page.click("#say button");
  }

  /** What is shown, once it is so much. */
  shows(count) {
    return until(`${this.name} shows ${count} messages`, async () => {
      const lines = await this.page.$$eval("#messages li", (all) =>
        all.map((line) => [line.dataset.destination, line.dataset.raw, line.textContent]),
      );
      must(lines.length <= count, `${this.name} shows too much: ${JSON.stringify(lines)}`);
      return lines.length === count ? lines : null;
    });
  }

  async leave() {
    await this.page.context().close();
  }
}

const browser = await launch();
try {
  const ann = await Window.open(browser, "Ann B:S", "/index.html");
  await ann.join();
  await ann.shows(1);
  const two = await Window.open(browser, "二", "/");
  await two.join();
  await ann.shows(2);
  await ann.say("grüße 😀 <b>&amp;</b> \\n {}");
  await two.shows(2);
  await two.say("x".repeat(20_000)); // stomp.js cuts it into several messages
  await ann.shows(4);
  const pushed = await ann.page.request.get(
    `${base}/testSendMessage?type=CHAT&content=hi&sender=nobody`,
  );
  report.pushed = pushed.status();
  await ann.shows(5);

  // The room, where no WebSocket is to be had; it says goodbye in public.
  const inRoom = [];
  for (const name of ["Bob", "Cat"]) {
    const who = await Window.open(browser, name, "/chatInRoom.html", { webSocket: false });
    await who.join({ room: "a b:ü" });
    inRoom.push(who);
  }
  const [bob, cat] = inRoom;
  const elsewhere = await Window.open(browser, "Dan", "/chatInRoom.html");
  await elsewhere.join({ room: "other" });
  await bob.say("only here");
  report.pages.bob = await bob.shows(3);
  report.pages.cat = await cat.shows(2);
  report.pages.elsewhere = await elsewhere.shows(1);
  await cat.leave();
  report.pages.public = await ann.shows(6);

  // Two people.
  const eve = await Window.open(browser, "Eve", "/chatToUser.html");
  await eve.join({ user: "Fay" });
  const fay = await Window.open(browser, "Fay", "/chatToUser.html");
  await fay.join({ user: "Eve" });
  await eve.shows(1);
  await eve.say("psst");
  report.pages.fay = await fay.shows(2);
  report.pages.eve = await eve.shows(1);
  await two.leave();
  report.pages.left = (await ann.shows(7)).at(-1);
  report.ok = true;
} catch (error) {
  report.failed = error.message;
} finally {
  await browser.close();
}
console.log(JSON.stringify(report));
process.exit(report.ok ? 0 : 1);
