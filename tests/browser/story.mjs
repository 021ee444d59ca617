// The whole story of two people in two windows, against a running server.
//
//   BASE_URL=… SETUP_LINK=… OUT_DIR=… node story.mjs      (or as three arguments)
//
// The one who runs it restarts the server in the middle: this prints `@@restart` on a
// line of its own and waits for a line `restarted` on stdin (same address, same data).
// The last line of stdout is the result as JSON; exit status 0 means that all is well.

import { mkdirSync } from "node:fs";
import { createInterface } from "node:readline";

import { id, launch, must, Person, Problem, until } from "./kit.mjs";

const [base, setupLink, out] = [
  process.argv[2] ?? process.env.BASE_URL,
  process.argv[3] ?? process.env.SETUP_LINK,
  process.argv[4] ?? process.env.OUT_DIR ?? "out",
];
const PASSWORD = "a gallery of quiet walls";
const report = { ok: false, steps: [], axe: { screens: [], violations: [] }, offOrigin: [], errors: [] };

const input = createInterface({ input: process.stdin });
const lines = input[Symbol.asyncIterator]();

async function step(words, act) {
  const began = Date.now();
  process.stderr.write(`· ${words}\n`);
  await act();
  report.steps.push({ step: words, ms: Date.now() - began });
}

/** Ask for a restart; what `meanwhile` does happens while the server is away. */
async function restart(people, meanwhile) {
  for (const person of people) person.away = true;
  process.stdout.write("@@restart\n");
  await meanwhile();
  for (;;) {
    const { value, done } = await lines.next();
    must(!done, "nobody restarted the server");
    if (value.trim() === "restarted") break;
  }
  for (const person of people) {
    await until(`${person.name} is connected again`, async () => (await person.find("status-strip").count()) === 0, 60_000);
  }
  for (const person of people) person.away = false;
}

async function story(browser) {
  const ann = await Person.arrive(browser, "Ann", { base, report });
  const bob = await Person.arrive(browser, "Bob", { base, report, colorScheme: "dark" });
  bob.ownScheme = "dark";
  const both = [ann, bob];
  let invite = "";

  await step("without an account one is asked for the setup link", async () => {
    await bob.page.goto(base);
    await bob.page.waitForURL("**/setup");
    await bob.axe("setup without a token");
  });

  await step("the setup link makes the first account", async () => {
    await ann.page.goto(setupLink);
    await ann.find("setup-form").waitFor();
    await ann.axe("setup");
    await ann.shot(out, "setup");
    await ann.fillAccount({ name: "Ann", handle: "ann", password: "short" });
    await ann.page.locator("[role=alert]").first().waitFor(); // bad input meets words
    await ann.axe("setup with an error");
    await ann.fillAccount({ name: "Ann", handle: "ann", password: PASSWORD });
    await ann.page.locator(`${id("home")} h1`).waitFor();
    await ann.axe("home");
  });

  await step("Ann invites by link, Bob joins with it", async () => {
    await ann.find("open-invite").click();
    invite = await ann.find("invite-link").inputValue();
    must(invite.startsWith(base), `the invite link ${invite} leads elsewhere`);
    await ann.axe("invite");
    await ann.page.keyboard.press("Escape");
    await bob.page.goto(invite);
    await bob.find("join-form").waitFor();
    await bob.axe("join");
    await bob.fillAccount({ name: "Bob", handle: "bob", password: PASSWORD });
    await bob.page.locator(id("home")).last().waitFor();
  });

  await step("a used invite is said to be used", async () => {
    const eve = await Person.arrive(browser, "Eve", { base, report: { ...report, errors: [] } });
    await eve.page.goto(invite);
    await eve.page.locator("h1").waitFor();
    await until("the invite is refused", async () => (await eve.find("join-form").count()) === 0 && /\/join/.test(eve.page.url()));
    eve.report = report;
    await eve.axe("used invite");
    await eve.page.context().close();
  });

  await step("a direct conversation: messages both ways, with ticks and an unread badge", async () => {
    await ann.find("new-conversation").click();
    const person = ann.page.locator(id("person"), { hasText: "Bob" });
    await person.waitFor();
    await ann.axe("new conversation");
    await person.click();
    await ann.find("conversation-title").waitFor();
    await ann.say("Hello Bob");
    await ann.say("**Markdown** works, <b>HTML</b> does not", {
      shown: "Markdown works, <b>HTML</b> does not",
    });
    await ann.say("Are you there?");
    await until("Bob's badge says 3", async () => /^3/.test((await bob.find("unread-badge").first().textContent({ timeout: 500 }).catch(() => "")) ?? ""));
    must(/^\(3\)/.test(await bob.page.title()), "the title of Bob's window has no count");
    await bob.open("Ann");
    await bob.find("new-line").waitFor();
    await until("Bob's badge goes when he has read", async () => (await bob.find("unread-badge").count()) === 0);
    must((await bob.page.locator("b", { hasText: "HTML" }).count()) === 0, "HTML of a message became HTML of the page");
    await bob.say("Yes! 你好, привет 👋");
    await ann.hears("Yes! 你好, привет 👋");
    await bob.find("composer-input").pressSequentially("typing");
    await ann.find("typing").waitFor();
    await bob.find("composer-input").fill("");
    ann.sent.length = bob.sent.length = 0;
  });

  await step("a group", async () => {
    await ann.find("new-conversation").click();
    await ann.find("new-group").click();
    await ann.page.fill("input[name=group-name]", "Gallery");
    await ann.page.locator(id("person"), { hasText: "Bob" }).click();
    await ann.axe("new group");
    await ann.find("create-group").click();
    await ann.page.locator(id("conversation-title"), { hasText: "Gallery" }).waitFor();
    await ann.say("Welcome to the gallery");
    await bob.open("Gallery");
    await bob.hears("Welcome to the gallery");
    await bob.say("What shall we hang here?");
    await ann.hears("What shall we hang here?");
    await ann.find("toggle-details").click();
    await ann.find("members").waitFor();
    await ann.axe("chat with details");
    await ann.find("toggle-details").click();
  });

  await step("a picture develops in front of both", async () => {
    const seen = both.map((person) =>
      until(`${person.name} sees it develop`, async () => {
        const card = person.picture("red heart");
        const parts = [id("picture-preview"), id("picture-progress")].map((part) => card.locator(part).count());
        return (await Promise.all(parts)).some((count) => count > 0);
      }, 60_000),
    );
    await ann.find("composer-input").fill("/im");
    await ann.find("command-list").waitFor();
    await ann.axe("commands offered");
    await ann.page.keyboard.press("Tab");
    must((await ann.find("composer-input").inputValue()) === "/imagine ", "Tab did not complete the command");
    await ann.say("/imagine red heart --steps 50 --seed 7");
    await Promise.all(seen);
    for (const person of both) {
      await person.pictureState("red heart", "done");
      const image = person.picture("red heart").locator(id("picture-image"));
      await until(`${person.name}'s picture is loaded`, () => image.evaluate((img) => img.complete && img.naturalWidth > 0));
      must((await person.picture("red heart").locator(id("picture-seed")).textContent()).includes("7"), "the seed is not shown");
    }
    await bob.say("A heart! Lovely.");
    await ann.hears("A heart! Lovely.");
  });

  await step("details of the picture, and the picture large", async () => {
    await ann.picture("red heart").locator(id("picture-details")).click();
    await ann.page.locator("dl").first().waitFor();
    await ann.axe("picture details");
    await ann.page.keyboard.press("Escape");
    await ann.picture("red heart").locator(id("picture-open")).click();
    await ann.find("picture-viewer").waitFor();
    await ann.axe("picture viewer");
    await ann.shot(out, "viewer");
    await ann.page.keyboard.press("Escape");
    await ann.find("picture-viewer").waitFor({ state: "detached" });
  });

  await step("what the model does not know is said", async () => {
    await bob.say("/imagine a photograph of quarterly tax returns --seed 3");
    for (const person of both) {
      const card = person.picture("quarterly tax returns");
      await person.pictureState("quarterly tax returns", "done");
      await card.locator(id("picture-drawn-as")).waitFor();
    }
    await ann.axe("a picture drawn as something else");
    await ann.shot(out, "drawn-as");
  });

  await step("a picture is cancelled while another is drawn", async () => {
    await ann.say("/imagine yellow sun --steps 50");
    await ann.say("/imagine blue fish --steps 50");
    await ann.picture("blue fish").locator(id("picture-cancel")).click();
    for (const person of both) await person.pictureState("blue fish", "cancelled");
    for (const person of both) await person.pictureState("yellow sun", "done");
    await ann.find("toggle-details").click();
    await ann.find("members").waitFor();
    await until("the end stays in view beside the pane", async () => (await ann.find("jump-to-latest").count()) === 0);
    await ann.find("toggle-details").click();
    await ann.axe("chat with a cancelled picture");
  });

  await step("a reload loses nothing, a draft neither", async () => {
    await bob.find("composer-input").fill("half a thou");
    await bob.page.reload();
    await bob.hears("A heart! Lovely.");
    must((await bob.find("composer-input").inputValue()) === "half a thou", "the draft is gone");
    await bob.find("composer-input").fill("");
  });

  await step("the server restarts in the middle of the talk", async () => {
    await bob.say("/imagine green tree --steps 50");
    await restart(both, async () => {
      for (let n = 1; n <= 5; n += 1) {
        await ann.say(`Ann while the server is away, ${n}`, { waitForTick: false });
        await bob.say(`Bob while the server is away, ${n}`, { waitForTick: false });
        await ann.page.waitForTimeout(200);
      }
      const strip = ann.find("status-strip");
      if (await strip.count()) await ann.axe("connection lost").catch(() => undefined);
    });
    for (const [person, other] of [[ann, bob], [bob, ann]]) {
      await person.tall(async () => {
        for (const text of person.sent) await person.ticked(text);
        for (const text of other.sent) await person.hears(text);
        await person.pictureState("green tree", "done", 120_000);
      });
    }
    await ann.say("And on we go");
    await bob.hears("And on we go");
  });

  await step("both show the same, in the same order, each message once", async () => {
    const [left, right] = [await ann.transcript(), await bob.transcript()];
    must(JSON.stringify(left) === JSON.stringify(right), `Ann and Bob see different things:\n${JSON.stringify({ left, right }, null, 1)}`);
    for (const text of [...ann.sent, ...bob.sent]) {
      const count = left.filter((line) => line === text).length;
      must(count === 1, `“${text}” is there ${count} times`);
    }
    const order = (mine) => mine.map((text) => left.indexOf(text));
    for (const person of both) {
      const places = order(person.sent);
      must(places.every((place, i) => i === 0 || place > places[i - 1]), `${person.name}'s messages are out of order`);
    }
    report.transcript = left;
    // and the same after both have loaded the page afresh
    await Promise.all(both.map((person) => person.page.reload()));
    for (const person of both) {
      await person.hears("And on we go");
      must(JSON.stringify(await person.transcript()) === JSON.stringify(left), `${person.name} sees something else after a reload`);
    }
  });

  await step("keys: switcher, neighbours, help", async () => {
    await ann.page.keyboard.press("Control+k");
    await ann.find("switcher-input").fill("bo");
    await ann.axe("switcher");
    await ann.page.keyboard.press("Enter");
    await ann.page.locator(id("conversation-title"), { hasText: "Bob" }).waitFor();
    await ann.page.keyboard.press("Alt+ArrowDown");
    await ann.page.locator(id("conversation-title"), { hasText: "Gallery" }).waitFor();
    await ann.find("history").focus();
    await ann.page.keyboard.press("?");
    await ann.find("help-dialog").waitFor();
    await ann.axe("help");
    await ann.page.keyboard.press("Escape");
    await ann.find("settings-menu").click();
    await ann.find("language-ru").waitFor();
    await ann.axe("settings");
    await ann.page.keyboard.press("Escape");
  });

  await step("three languages, two themes, two sizes", async () => {
    await ann.scheme("light");
    await showPicture(ann);
    await ann.shot(out, "chat-light");
    await bob.scheme("dark");
    await showPicture(bob);
    await bob.shot(out, "chat-dark");
    for (const language of ["zh", "ru"]) {
      await ann.language(language);
      await ann.axe(`chat ${language}`);
      await ann.shot(out, `chat-${language}`);
    }
    await ann.language("en");
    await bob.page.setViewportSize({ width: 390, height: 844 });
    await bob.axe("chat 390 px");
    await showPicture(bob);
    await bob.shot(out, "chat-mobile");
    for (const language of ["zh", "ru", "en"]) {
      await bob.find("back").click();
      await bob.language(language);
      await bob.axe(`list 390 px ${language}`);
      await noSideways(bob);
      await bob.shot(out, `list-mobile-${language}`);
      await bob.page.locator(id("conversation-item")).last().click();
      await bob.find("conversation-title").waitFor();
      await bob.axe(`chat 390 px ${language}`);
      await noSideways(bob);
    }
    await bob.page.setViewportSize({ width: 1280, height: 800 });
  });

  await step("putting somebody out is asked first, and can be undone", async () => {
    await ann.open("Gallery");
    await ann.find("toggle-details").click();
    await ann.find("remove-member").click();
    await ann.find("confirm-remove").waitFor();
    await ann.axe("remove a member");
    await ann.shot(out, "remove-member");
    await ann.page.keyboard.press("Escape");
    await ann.find("confirm-remove").waitFor({ state: "detached" });
    must((await ann.find("remove-member").count()) === 1, "Bob was put out though Ann did not confirm");
    await ann.find("remove-member").click();
    await ann.find("confirm-remove").click();
    await ann.find("remove-member").waitFor({ state: "detached" });
    const gone = bob.page.locator(id("conversation-item"), { hasText: "Gallery" });
    await until("the group leaves Bob's list", async () => (await gone.count()) === 0);
    await ann.find("open-add").click();
    await ann.page.locator(id("person"), { hasText: "Bob" }).click();
    await ann.find("add-people").click();
    await ann.find("remove-member").waitFor();
    await ann.find("toggle-details").click();
    await bob.open("Gallery");
    await ann.say("Bob is back");
    await bob.hears("Bob is back");
  });

  await step("signing out shows nothing more, in no window, signing in shows it again", async () => {
    const second = await bob.page.context().newPage();
    await second.goto(bob.page.url());
    await bob.say("From one window to the other");
    const arrived = second.locator(id("message"), { hasText: "From one window to the other" });
    await arrived.waitFor();
    must((await arrived.count()) === 1, "a second window shows the message twice");
    await bob.find("settings-menu").click();
    await bob.find("sign-out").click();
    await bob.find("login-form").waitFor();
    await second.locator(id("login-form")).waitFor();
    await second.close();
    await bob.axe("sign in");
    await bob.fillAccount({ handle: "bob", password: "wrong password" });
    await bob.page.locator("[role=alert]").waitFor();
    await bob.axe("sign in, wrong");
    await bob.fillAccount({ handle: "bob", password: PASSWORD });
    await bob.open("Gallery");
    await bob.hears("From one window to the other");
  });
}

/** Bring the finished heart into view. */
async function showPicture(person) {
  for (let tries = 0; tries < 60; tries += 1) {
    const image = person.page.locator(id("picture"), { hasText: "red heart" }).locator(id("picture-image"));
    if (await image.count()) {
      await image.first().evaluate((img) => img.scrollIntoView({ block: "center" }));
      await person.page.waitForTimeout(400);
      const loaded = (img) => img.complete && img.naturalWidth > 0;
      if (await image.first().evaluate(loaded).catch(() => false)) return;
    }
    await person.find("history").evaluate((log) => log.scrollBy(0, -200));
    await person.page.waitForTimeout(50);
  }
}

async function noSideways(person) {
  const wide = await person.page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  must(!wide, "the page scrolls sideways");
}

mkdirSync(out, { recursive: true });
const browser = await launch();
try {
  await story(browser);
  must(report.axe.violations.length === 0, `axe reports ${report.axe.violations.length} violations`);
  must(report.offOrigin.length === 0, `requests left the origin: ${report.offOrigin.join(" ")}`);
  must(report.errors.length === 0, `the pages reported errors: ${report.errors.join(" | ")}`);
  report.ok = true;
} catch (error) {
  report.problem = error instanceof Problem ? error.message : String(error.stack ?? error);
  for (const [n, page] of browser.contexts().flatMap((context) => context.pages()).entries()) {
    await page.screenshot({ path: `${out}/problem-${n}.png` }).catch(() => undefined);
  }
} finally {
  await browser.close();
  input.close();
}
process.stdout.write(`${JSON.stringify(report)}\n`);
process.exit(report.ok ? 0 : 1);
