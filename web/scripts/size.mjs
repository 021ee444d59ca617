// The weight of the first load (chat, English): everything that the entry and the chat
// view import without being asked, gzipped. Fails above the budget of 200 kB.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BUDGET_KB = 200;
const root = new URL("../../src/salon/webapp/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("manifest.json", root), "utf8"));

const files = new Set(["boot.js"]);
function take(key) {
  const chunk = manifest[key];
  if (!chunk || files.has(chunk.file)) return;
  files.add(chunk.file);
  for (const css of chunk.css ?? []) files.add(css);
  for (const imported of chunk.imports ?? []) take(imported);
}
take("index.html");
take("src/views/ChatView.vue");

let total = 0;
for (const file of files) {
  const bytes = gzipSync(readFileSync(new URL(file, root)), { level: 9 }).length;
  total += bytes;
  if (bytes > 4096) console.log(`${(bytes / 1000).toFixed(1).padStart(6)} kB  ${file}`);
}
console.log(`${(total / 1000).toFixed(1).padStart(6)} kB  first load in ${files.size} files, budget ${BUDGET_KB} kB`);
process.exit(total / 1000 > BUDGET_KB ? 1 : 0);
