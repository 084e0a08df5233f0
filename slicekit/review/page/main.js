// Wires the page: cases, tools, keys, propagation, saving.

import * as api from "./api.js";
import { Bar } from "./bar.js";
import { Carrying } from "./carrying.js";
import { showCases } from "./cases.js";
import { Editor } from "./editor.js";
import { setUsable, showHeading, showLoading, showUnreadable } from "./heading.js";
import { listen } from "./keys.js";
import { guarded, hush, say, tell } from "./message.js";
import { Organs } from "./organs.js";
import { Planes } from "./planes.js";
import { expectServer, makeSaving } from "./saving.js";
import { isAway, Scan } from "./scan.js";
import { showStatus } from "./status.js";
import { Tools } from "./tools.js";
import { Versions } from "./versions.js";
import { View } from "./view.js";
import { Windows } from "./windows.js";

const LOOK_MS = 2000;
const STEPS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 };

const el = (id) => document.getElementById(id);
const view = new View(el("axial"));
const editor = new Editor(view);
const bar = new Bar(el("bar"), el("legend"));
const organs = new Organs(el("organs"));
const planes = new Planes(el("planes"), el("planes-box"), el("open-planes"));
const tools = new Tools(editor, view);
const versions = new Versions(el("versions"), el("version-list"));
const windows = new Windows(el("window"));
const carrying = new Carrying({ show: showState, changed: showLabelsAnew, ended: carried });
const remarks = new Map(); // of cases that were left before a verdict
let scan = null;
let opening = 0;
let fetchSoon = 0;
let verdict = ""; // that the list shows

// Cases ---------------------------------------------------------------------------------------

async function listCases(here = scan?.index) {
  const { cases, model_fault: fault } = await api.cases();
  showCases(el("cases"), cases, here, openCase);
  verdict = cases[here]?.verdict ?? "";
  return { cases, fault };
}

const openCase = guarded(async (index) => {
  const ticket = ++opening;
  if (scan) {
    expectServer(scan);
    await scan.allSent();
    remarks.set(scan.index, el("remark").value);
    scan.close();
  }
  scan = null;
  setUsable(false);
  hush();
  showLoading("Reading the scan …");
  const opened = new Scan(index);
  try {
    await opened.open();
  } catch (fault) {
    if (ticket !== opening) return;
    const { cases } = await listCases(index).catch(() => ({ cases: [] }));
    showUnreadable(cases[index]?.name ?? "", fault);
    return;
  }
  if (ticket !== opening) return; // another one was chosen meanwhile
  scan = opened;
  showScan();
  opened.stream();
  await listCases();
  if (ticket !== opening) return;
  if (scan.state.job.running) watchJob();
  if (planes.isOpen) await planes.open(scan, windows.chosen, view.z);
});

function showScan() {
  scan.onImage = (z) => { if (z === view.z || z === -1) view.paintGray(); };
  scan.onSent = showState;
  Object.assign(scan, { onFault: tell, onOthers: (z) => editor.forgetSteps(z) });
  scan.onRefused = (z) => {
    editor.forgetSteps(z);
    showLabelsAnew();
  };
  editor.forgetSteps();
  view.show(scan);
  bar.show(scan);
  windows.show(scan.about.presets);
  organs.show(scan.organs, scan.state.volumes_ml);
  el("remark").value = remarks.get(scan.index) ?? scan.state.remark;
  goTo(scan.startSlice());
  showHeading(scan);
  showState();
}

// Slices --------------------------------------------------------------------------------------

function goTo(z) {
  view.goTo(Math.min(scan.depth - 1, Math.max(0, z)));
  scan.needImage(view.z).catch(tell);
  bar.draw(view.z, organs.chosen);
  const number = scan.about.numbers[view.z];
  el("where").textContent = `slice ${view.z + 1} of ${scan.depth}`
    + `${number === view.z + 1 ? "" : ` (${number} in the file)`}`;
  planes.goTo(view.z);
}

function showState() {
  if (!scan) return;
  organs.update(scan.state.volumes_ml);
  bar.draw(view.z, organs.chosen);
  showStatus(scan, editor);
  if (scan.state.verdict === verdict) return;
  verdict = scan.state.verdict;
  guarded(listCases)();
}

function showLabelsAnew() {
  view.paintTint();
  planes.refreshSoon();
}

const refresh = guarded(async () => {
  const seen = scan;
  if (!seen) return;
  await seen.refresh();
  if (seen !== scan) return;
  showState();
  if (!scan.state.kept) refreshSoon(800);
});

function refreshSoon(wait = 250) {
  clearTimeout(fetchSoon);
  fetchSoon = setTimeout(refresh, wait);
}

// What was changed in another window, or by a script.
async function look() {
  const seen = scan;
  if (!seen || document.hidden || seen.sending || carrying.watching) return;
  try {
    await seen.refresh(true);
    if (seen !== scan || seen.sending) return;
    if (Object.keys(seen.state.volumes_ml).length !== seen.organs.length) {
      takeOrgans((await seen.api.about()).organs);
    }
    if (seen.state.revision !== seen.revision && await seen.syncLabels()) showLabelsAnew();
    if (seen.state.job.running) watchJob();
  } catch (fault) {
    if (!isAway(fault) && fault.status !== 409) tell(fault); // told beside the title; closed
  }
  showState();
}

// Propagation ---------------------------------------------------------------------------------

const propagate = guarded((started = scan) => carrying.start(started, () => scan === started));
const stop = guarded(() => scan.api.stop());
const watchJob = guarded((watched = scan) => carrying.watch(watched, () => scan === watched));

async function carried(outcome) {
  const { fault } = await listCases();
  if (fault && outcome === "done") {
    say("No propagator: shapes were interpolated.", `${fault.cause}; ${fault.cure}`, true);
  }
  refreshSoon(1200);
}

// Saving --------------------------------------------------------------------------------------

const { save, judge, restore, takeBack } = makeSaving({
  current: () => scan,
  editor,
  remark: el("remark"),
  saved: async () => {
    await refresh();
    await listCases();
  },
  replaced: (all) => {
    takeOrgans(all);
    showLabelsAnew();
  },
});

// Tools and keys ------------------------------------------------------------------------------

const undo = () => goTo(editor.undo() ?? view.z);
const redo = () => goTo(editor.redo() ?? view.z);
function nextSlice() {
  const { next } = scan.state;
  if (!next.length) {
    say("Nothing to suggest.", "Draw a slice or two and propagate.");
    return;
  }
  const here = next.findIndex((one) => one.z === view.z);
  const one = next[(here + 1) % next.length];
  organs.choose(one.organs[0]);
  goTo(one.z);
}

function showLabels(shown) {
  view.shown = el("shown").checked = shown;
  view.draw();
  planes.setOpacity(shown ? 0.5 : 0);
}

function takeOrgans(all) {
  if (JSON.stringify(all) === JSON.stringify(scan.organs)) return;
  scan.organs = all;
  view.setOrgans();
  organs.show(all);
}

const togglePlanes = guarded(async () => {
  if (planes.isOpen) planes.close();
  else await planes.open(scan, windows.chosen, view.z);
});

const addOrgan = guarded(async (event) => {
  event.preventDefault();
  const { id, organs: all } = await scan.api.addOrgan(el("new-organ").value);
  el("new-organ").value = "";
  takeOrgans(all);
  await scan.syncLabels();
  organs.choose(id);
  view.canvas.focus(); // so that keys draw and do not type
  await refresh();
});

const openVersions = guarded(() => versions.open(scan));
listen({
  ready: () => scan !== null,
  keys: {
    ...Object.fromEntries(Object.entries(STEPS).map(([key, by]) => [key, () => goTo(view.z + by)])),
    0: () => view.fit(),
    d: () => tools.choose("draw"),
    e: () => tools.choose("erase"),
    f: () => tools.choose("fill"),
    "[": () => tools.grow(-2),
    "]": () => tools.grow(2),
    p: propagate,
    n: nextSlice,
    k: () => editor.keep(),
    h: () => showLabels(!view.shown),
    t: togglePlanes,
    v: openVersions,
    "?": () => el("help").showModal(),
    Escape: () => { if (scan.state.job.running) stop(); },
  },
  withControl: { z: undo, "shift z": redo, s: save },
  digit: (n) => organs.chooseNth(n),
  leave: () => view.canvas.focus(),
});

const clicks = {
  undo, redo, propagate, stop, save,
  keep: () => editor.keep(),
  forget: () => editor.forget(),
  next: nextSlice,
  accept: () => judge("accepted"),
  "send-back": () => judge("sent back"),
  "open-planes": togglePlanes,
  "open-versions": openVersions,
  "open-help": () => el("help").showModal(),
};
for (const [id, act] of Object.entries(clicks)) el(id).addEventListener("click", () => act());
el("shown").addEventListener("change", () => showLabels(el("shown").checked));
el("add-organ").addEventListener("submit", addOrgan);

windows.onChange = (chosen, done) => (done ? [view, planes] : [view])
  .forEach((one) => one.setWindow(chosen));
windows.onChosen = () => view.canvas.focus();
bar.onGo = goTo;
planes.onGo = (z) => { if (z !== view.z) goTo(z); };
versions.onRestore = restore;
editor.onTurn = (step) => goTo(view.z - step);
Object.assign(editor, { onSay: say, onHush: hush });
editor.onRestore = takeBack;
editor.onContrast = (right, down, done) => windows.drag(right, down, done);
editor.onChange = () => { showState(); planes.refreshSoon(); refreshSoon(); };
editor.onHover = (at) => { el("under").textContent = scan && at ? scan.under(view.z, at) : ""; };
organs.onChoose = (id, colour) => {
  editor.organ = id;
  editor.colour = colour;
  if (scan) bar.draw(view.z, id);
};
window.addEventListener("beforeunload", (event) => {
  if (scan?.waiting.size || scan?.sending) event.preventDefault();
});
document.addEventListener("visibilitychange", look);
setInterval(look, LOOK_MS);
setUsable(false);
window.slicekit = { get scan() { return scan; }, view, editor, organs }; // for a look from outside
guarded(async () => {
  const { cases } = await listCases();
  if (cases.length) await openCase(0);
})();
