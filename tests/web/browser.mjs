// Opens pages in chromium for a test: a JSON command a line on standard input, a JSON answer a line on standard output.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox"], // root has no sandbox
});
let page, context, told;

const commands = {
  async open({ file, width, scheme, script }) {
    if (context) await context.close();
    told = { console: [], requests: [], errors: [] };
    context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme, javaScriptEnabled: script });
    page = await context.newPage();
    page.setDefaultTimeout(20000);
    page.on("console", (m) => told.console.push(`${m.type()}: ${m.text()}`));
    page.on("pageerror", (e) => told.errors.push(e.message));
    page.on("request", (r) => told.requests.push(r.url()));
    const begun = performance.now();
    await page.goto(`file://${file}`, { waitUntil: "load", timeout: 60000 });
    return { milliseconds: performance.now() - begun };
  },
  async told() { return told; },
  async evaluate({ expression }) { return await page.evaluate(expression); },
  async click({ selector }) { await page.click(selector); return null; },
  async press({ key }) { await page.keyboard.press(key); return null; },
  async fill({ selector, text }) { await page.fill(selector, text); return null; },
  async choose({ selector, label }) { await page.selectOption(selector, { label }); return null; },
  async media({ media }) { await page.emulateMedia({ media }); return null; },
  async axe() {
    await page.evaluate(axe);
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    return found.violations.map((v) => `${v.id}: ${v.nodes.length} x ${v.help}: ${v.nodes[0].html.slice(0, 160)}`);
  },
  async screenshot({ file, full }) { await page.screenshot({ path: file, fullPage: full }); return null; },
};

const late = (ms) => new Promise((_, refuse) => { setTimeout(() => refuse(new Error(`not done after ${ms} ms`)), ms).unref(); });

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...given } = JSON.parse(line);
  try {
    const answer = await Promise.race([commands[command](given), late(60000)]);
    process.stdout.write(JSON.stringify({ answer: answer ?? null }) + "\n");
  } catch (e) {
    process.stdout.write(JSON.stringify({ error: String(e) }) + "\n");
  }
}
await browser.close();
