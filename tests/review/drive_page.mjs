// Uses the review page as a person does, in a real Chromium, and tells what it saw as JSON.
// node drive_page.mjs TASK.json; the task names url, chromium, playwright, shots and drawings.

import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const task = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { chromium } = await import(pathToFileURL(task.playwright).href);
const browser = await chromium.launch({
  executablePath: task.chromium,
  args: ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
const page = await context.newPage();
const seen = { errors: [], foreign: [], sendMs: [] };
page.on("pageerror", (fault) => seen.errors.push(String(fault)));
page.on("console", (line) => { if (line.type() === "error") seen.errors.push(line.text()); });
page.on("request", (request) => {
  const { hostname, protocol } = new URL(request.url());
  if (/^http/.test(protocol) && hostname !== "127.0.0.1") seen.foreign.push(request.url());
});
const shot = (name) => task.shots && page.screenshot({ path: `${task.shots}/${name}.png` });
const idle = () => page.waitForFunction(() => {
  const { scan } = window.slicekit;
  return !scan.sending && !scan.waiting.size && !scan.state.job.running;
});
const goTo = async (z) => {
  for (;;) {
    const away = z - await page.evaluate(() => window.slicekit.view.z);
    if (away === 0) break;
    await page.keyboard.press(away > 0 ? "ArrowUp" : "ArrowDown");
  }
  await page.waitForFunction(() => {
    const { scan, view } = window.slicekit;
    return scan.hasImage(view.z);
  });
};
const at = ([x, y]) => page.evaluate(([a, b]) => window.slicekit.view.pageOf(a, b), [x, y]);
const outline = async (points) => {
  await page.mouse.move(...await at(points[0]));
  await page.mouse.down();
  for (const point of [...points.slice(1), points[0]]) await page.mouse.move(...await at(point));
  await page.mouse.up();
};
const draw = async ({ z, points, inside }) => {
  await goTo(z);
  await page.keyboard.press("d");
  await outline(points);
  await page.keyboard.press("f");
  await page.mouse.click(...await at(inside));
  await idle();
  seen.sendMs.push(await page.evaluate(() => window.slicekit.scan.lastSendMs));
};
const plane = (z) => page.evaluate((n) => [...window.slicekit.scan.plane(n)], z);
const labelled = () => page.evaluate(() => {
  const { scan } = window.slicekit;
  return Array.from({ length: scan.depth }, (_, z) => scan.plane(z).some((id) => id));
});
// Carries, and tells how many slices were labelled each time that became more.
const carry = async () => {
  await page.evaluate(() => {
    const { scan } = window.slicekit;
    const take = scan.syncLabels;
    window.growth = [];
    scan.syncLabels = async function sync() {
      const changed = await take.call(this);
      const shown = Array.from({ length: this.depth }, (_, z) => this.plane(z).some((id) => id));
      const count = shown.filter(Boolean).length;
      if (count > (window.growth.at(-1) ?? 0)) window.growth.push(count);
      return changed;
    };
  });
  await page.keyboard.press("p");
  await page.waitForFunction(() => window.slicekit.scan.state.job.running, null, { timeout: 5000 })
    .catch(() => {}); // it may be done already
  await idle();
  await page.waitForTimeout(300);
  return page.evaluate(() => window.slicekit.scan.state.job);
};

try {
  const began = Date.now();
  await page.goto(task.url);
  await page.waitForSelector("body[data-shown]", { timeout: 60000 });
  seen.shownMs = Date.now() - began;
  await page.waitForTimeout(300);
  await shot("1-opened");
  for (let n = 0; n < task.penSteps; n += 1) await page.keyboard.press("[");
  for (const drawing of task.drawings) await draw(drawing);
  seen.drawn = await Promise.all(task.drawings.map(({ z }) => plane(z)));
  await shot("2-drawn");
  seen.labelledBefore = await labelled();
  seen.job = await carry();
  seen.labelledAfter = await labelled();
  seen.growth = await page.evaluate(() => window.growth);
  await goTo(task.correction.z);
  await page.waitForTimeout(200);
  await shot("3-propagated");
  seen.state = await page.evaluate(() => {
    const { origin, next, volumes_ml: ml } = window.slicekit.scan.state;
    return { origin, next, ml };
  });

  const before = await plane(task.correction.z);
  await page.keyboard.press("e");
  for (let n = 0; n < 6; n += 1) await page.keyboard.press("]");
  await outline(task.correction.points);
  await idle();
  const wiped = await plane(task.correction.z);
  await page.keyboard.press("Control+z");
  await idle();
  const undone = await plane(task.correction.z);
  seen.undoWorks = String(undone) === String(before) && String(wiped) !== String(before);
  seen.drawnAfterUndo = await page.evaluate((z) => [...window.slicekit.scan.drawnOn(z)],
    task.correction.z);
  await outline(task.correction.points);
  await idle();
  seen.corrected = await plane(task.correction.z);
  seen.secondJob = await carry();
  await shot("4-corrected");

  await page.keyboard.press("n");
  await page.waitForTimeout(200);
  await shot("5-next");
  if (task.planes) {
    await page.keyboard.press("t");
    await page.waitForSelector("body[data-planes]", { timeout: 90000 });
    await page.waitForTimeout(1500);
    seen.planes = true;
    await shot("6-planes");
    await page.keyboard.press("t");
  }
  await page.keyboard.press("Control+s");
  await page.waitForFunction(() => window.slicekit.scan.state.saved, null, { timeout: 30000 });
  await page.waitForTimeout(300);
  await shot("7-saved");
  const labels = await page.evaluate(() => {
    const bytes = window.slicekit.scan.labels;
    let text = "";
    for (let n = 0; n < bytes.length; n += 32768) {
      text += String.fromCharCode(...bytes.subarray(n, n + 32768));
    }
    return btoa(text);
  });
  writeFileSync(task.labels, Buffer.from(labels, "base64"));

  // A second window sees the same, and what was saved before comes back and is taken back.
  const other = await context.newPage();
  await other.goto(new URL("/", task.url).href);
  await other.waitForSelector("body[data-shown]", { timeout: 60000 });
  await page.bringToFront();
  const volume = () => page.evaluate(() => window.slicekit.scan.state.volumes_ml[1]);
  const saved = await volume();
  await goTo(task.correction.z);
  await page.keyboard.press("d");
  await outline(task.correction.points);
  await idle();
  const drawn = await volume();
  await other.bringToFront();
  seen.otherWindow = await other.waitForFunction(([ml]) => (
    window.slicekit.scan.state.volumes_ml[1] === ml), [drawn], { timeout: 10000 }).then(() => true);
  await other.close();
  await page.bringToFront();
  await page.keyboard.press("v");
  await page.waitForSelector("#versions[open] #version-list button");
  await shot("8-versions");
  await page.keyboard.press("d"); // no tool is chosen behind it
  await page.click("#version-list li:first-child button");
  const becomes = (ml) => page.waitForFunction(([wanted]) => (
    window.slicekit.scan.state.volumes_ml[1] === wanted), [ml], { timeout: 30000 });
  const settles = async (wanted) => { // figures may come before the labels
    for (let n = 0; n < 100; n += 1) {
      if (String(await plane(task.correction.z)) === String(wanted)) return true;
      await page.waitForTimeout(100);
    }
    return false;
  };
  await becomes(saved);
  const restored = await settles(seen.corrected);
  await page.waitForTimeout(300);
  await page.keyboard.press("Control+z");
  await becomes(drawn);
  await page.waitForTimeout(300);
  await page.keyboard.press("Control+z");
  await idle();
  await becomes(saved);
  const back = await settles(seen.corrected);
  seen.versions = { differs: drawn !== saved, restored, back };
  await page.fill("#remark", "<img src=x onerror=alert(1)>");
  await page.click("#send-back");
  await page.waitForSelector("#cases .sent-back");
  await shot("9-sent-back");
  seen.owned = await page.evaluate(() => "owned" in document.body.dataset);
} catch (fault) {
  seen.fault = String(fault);
  await shot("fault");
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
