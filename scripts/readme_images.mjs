// Three looks at one conversation; `readme_images.py` runs it.

import { launch, Person, until } from "../tests/browser/kit.mjs";

const [base, cookie, out] = process.argv.slice(2);
const report = { errors: [], offOrigin: [] };
const looks = [
  ["chat-light", { viewport: { width: 1280, height: 1130 } }],
  ["chat-dark", { viewport: { width: 1280, height: 1130 }, colorScheme: "dark" }],
  ["chat-mobile", { viewport: { width: 390, height: 844 } }],
];

const browser = await launch();
for (const [name, options] of looks) {
  const ann = await Person.arrive(browser, "Ann Lee", { base, report, ...options });
  await ann.page.context().addCookies([JSON.parse(cookie)]);
  await ann.page.goto(base);
  await ann.open("Art club");
  await ann.hears("Who prints them?");
  await until("the pictures are shown", () =>
    ann.page.evaluate(() => {
      const shown = [...document.querySelectorAll('[data-testid="picture"] img')];
      return shown.length > 0 && shown.every((image) => image.complete && image.naturalWidth > 0);
    }),
  );
  await ann.shot(out, name);
  await ann.page.context().close();
}
await browser.close();
if (report.errors.length > 0) throw new Error(report.errors.join("\n"));
