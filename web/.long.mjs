import { chromium } from "playwright-core";
const base = "http://127.0.0.1:18081";
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox","--disable-gpu"] });
const ctx = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB" });
const p = await ctx.newPage();
p.on("console", (m) => console.log(m.type(), m.text())); p.on("pageerror", (e) => console.log("ERR", e.message));
await p.goto(base); await p.fill("input[name=handle]", "bob"); await p.fill("input[name=password]", "a gallery of walls"); await p.click("button[type=submit]");
await p.waitForSelector("[data-testid=unread-badge]");
console.log("badge", await p.textContent("[data-testid=unread-badge]"));
const t0 = Date.now();
await p.click("[data-testid=conversation-item]");
await p.waitForSelector("[data-testid=new-line]");
console.log("opened", Date.now() - t0);
await p.screenshot({ path: "/tmp/shots/long-open.png" });
const state = () => p.evaluate(() => { const l = document.querySelector("[data-testid=history]"); const r = [...document.querySelectorAll("[data-testid=message]")]; const top = l.getBoundingClientRect().top; const vis = r.filter((e) => e.getBoundingClientRect().bottom > top && e.getBoundingClientRect().top < top + l.clientHeight); const n = (e) => e?.querySelector("ol")?.getAttribute("start") ?? "1"; return { top: Math.round(l.scrollTop), height: l.scrollHeight, rows: r.length, first: n(vis[0]), y: Math.round(vis[0]?.getBoundingClientRect().top ?? 0), last: n(vis.at(-1)) }; });
console.log(await state());
await p.waitForTimeout(1200);
console.log("badge after 1.2 s", await p.textContent("[data-testid=unread-badge]").catch(() => "none"), await p.locator("[data-testid=jump-to-latest]").textContent().catch(() => "no pill"));
await p.click("[data-testid=jump-to-latest]"); await p.waitForTimeout(1000);
console.log("end", await state(), "badge", await p.locator("[data-testid=unread-badge]").count());
await p.mouse.move(800, 400);
let seen = new Set(), order = [];
for (let i = 0; i < 400; i++) { await p.mouse.wheel(0, -700); await p.waitForTimeout(40); const s = await state(); if (s.first === undefined) console.log("blank at", i, s); order.push(parseInt(s.first)); if (i % 40 === 0) console.log(i, s); if (s.top === 0 && i > 20) { await p.waitForTimeout(500); if ((await state()).top === 0) break; } }
let ups = 0, maxjump = 0; for (let i = 1; i < order.length; i++) { if (order[i] > order[i-1]) ups++; maxjump = Math.max(maxjump, order[i-1] - order[i]); }
console.log("top", await state(), "steps", order.length, "moved down", ups, "max jump up", maxjump);
await p.screenshot({ path: "/tmp/shots/long-top.png" });
// anchor check on prepend is in the loop; now reload to bottom & time
const t1 = Date.now(); await p.reload(); await p.waitForSelector("[data-testid=message]"); console.log("reload to first messages", Date.now() - t1, await p.evaluate(() => [performance.getEntriesByName("first-contentful-paint")[0]?.startTime, document.querySelectorAll("*").length]));
await p.waitForTimeout(800); console.log(await state());
// offline strip
await ctx.setOffline(true); await p.waitForSelector("[data-testid=status-strip]", { timeout: 8000 }).then(() => console.log("strip")).catch(() => console.log("no strip"));
await p.fill("[data-testid=composer-input]", "written offline"); await p.keyboard.press("Enter");
await p.waitForTimeout(700); await p.screenshot({ path: "/tmp/shots/offline.png" });
console.log(await p.textContent("[data-testid=status-strip]").catch(() => null));
await ctx.setOffline(false); const t2 = Date.now(); await p.waitForFunction(() => { const m = [...document.querySelectorAll("[data-testid=message]")].at(-1); return m?.textContent.includes("written offline") && m.querySelector("[data-state=sent]"); }); console.log("sent after", Date.now() - t2);
await browser.close();
