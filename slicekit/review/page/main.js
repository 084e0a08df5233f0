// Wires the page: cases, tools, keys, propagation, saving.

import * as api from "./api.js";
import { Bar } from "./bar.js";
import { showCases } from "./cases.js";
import { Editor } from "./editor.js";
import { listen } from "./keys.js";
import { guarded, say, tell } from "./message.js";
import { Organs } from "./organs.js";
import { Planes } from "./planes.js";
import { Scan } from "./scan.js";
import { View } from "./view.js";

const el = (id) => document.getElementById(id);
const view = new View(el("axial"));
const editor = new Editor(view);
const bar = new Bar(el("bar"), el("legend"));
const organs = new Organs(el("organs"));
const planes = new Planes(el("planes"), el("planes-box"), el("open-planes"));
let scan = null;
let polling = false;
let fetchSoon = 0;

// Cases ---------------------------------------------------------------------------------------

async function listCases() {
  const { cases, model_fault: fault } = await api.cases();
  showCases(el("cases"), cases, scan?.index, openCase);
  return { cases, fault };
}

const openCase = guarded(async (index) => {
  if (scan) {
    await scan.allSent();
    scan.close();
  }
  el("loading").hidden = false;
  el("loading").textContent = "Reading the scan …";
  const opened = new Scan(index);
  try {
    await opened.open();
  } catch (fault) {
    el("loading").textContent = "This case cannot be shown.";
    throw fault;
  }
  scan = opened;
  scan.onImage = (z) => { if (z === view.z || z === -1) view.paintGray(); };
  scan.onSent = showState;
  scan.onFault = tell;
  editor.past = [];
  view.show(scan);
  bar.show(scan);
  el("window").replaceChildren(...scan.about.presets.map((one, n) => new Option(one.name, n)));
  view.setWindow(scan.about.presets[0]);
  organs.show(scan.organs);
  el("remark").value = scan.state.remark;
  const title = document.createElement("small");
  title.textContent = `${scan.about.shape.slice().reverse().join(" × ")} voxels, `
    + `${scan.about.spacing_mm.map((step) => +step.toFixed(2)).reverse().join(" × ")} mm`;
  el("title").replaceChildren(scan.name, title);
  goTo(scan.startSlice());
  el("loading").hidden = true;
  document.body.dataset.shown = scan.name;
  showState();
  await listCases();
  scan.stream();
  if (scan.state.job.running) poll();
  if (planes.isOpen) await planes.open(scan, scan.about.presets[0], view.z);
});

// Slices --------------------------------------------------------------------------------------

function goTo(z) {
  view.goTo(Math.min(scan.depth - 1, Math.max(0, z)));
  scan.needImage(view.z).catch(tell);
  bar.draw(view.z, organs.chosen);
  el("where").textContent = `slice ${scan.about.numbers[view.z]} (${view.z + 1} of ${scan.depth})`;
  planes.goTo(view.z);
}

function showState() {
  const { state } = scan;
  organs.update(state.volumes_ml);
  bar.draw(view.z, organs.chosen);
  el("undo").disabled = !editor.past.length;
  const { job } = state;
  el("progress").hidden = !job.running;
  el("propagate").disabled = job.running;
  if (job.total) Object.assign(el("progress-bar"), { max: job.total, value: job.done });
  else el("progress-bar").removeAttribute("value");
  el("progress-text").textContent = job.total ? `${job.done} of ${job.total} slices` : "starting …";
  const next = state.next[0];
  el("advice").textContent = next
    ? `Draw slice ${scan.about.numbers[next.z]} next: ${next.reason}.` : "";
  el("next").disabled = !state.next.length;
  const fault = state.autosave_fault;
  el("kept").className = fault ? "fault" : "";
  el("kept").textContent = fault ? `not kept: ${fault.cause}`
    : scan.waiting.size || scan.sending || !state.kept ? "keeping …"
      : state.saved ? "saved" : "kept, not saved yet";
}

const refresh = guarded(async () => {
  await scan.refresh();
  showState();
  if (!scan.state.kept) refreshSoon(800);
});

function refreshSoon(wait = 250) {
  clearTimeout(fetchSoon);
  fetchSoon = setTimeout(refresh, wait);
}

// Propagation ---------------------------------------------------------------------------------

const propagate = guarded(async () => {
  const before = scan.state.job;
  if (before.running) return;
  try {
    scan.state.job = { running: true, done: 0, total: 0 }; // shown before the server answers
    showState();
    await scan.allSent();
    await scan.api.propagate();
  } catch (fault) {
    scan.state.job = before;
    showState();
    throw fault;
  }
  await poll();
});

async function poll() {
  if (polling) return;
  polling = true;
  try {
    const watched = scan;
    do {
      await scan.refresh();
      showState();
      if (!scan.state.job.running) break;
      await new Promise((resolve) => setTimeout(resolve, 150));
    } while (scan === watched);
    if (scan === watched) await showOutcome();
  } finally {
    polling = false;
  }
}

async function showOutcome() {
  const { outcome, fault, seconds } = scan.state.job;
  await scan.syncLabels();
  view.paintTint();
  planes.refresh();
  if (outcome === "failed") say(`${fault.cause}.`, `${fault.cure}.`, true);
  else say(outcome === "done" ? `Carried in ${seconds} s.` : "Stopped.");
  const { fault: model } = await listCases();
  if (model && outcome === "done") {
    say("No propagator: shapes were interpolated.", `${model.cause}; ${model.cure}`, true);
  }
  refreshSoon(1200);
}

// Saving --------------------------------------------------------------------------------------

const save = guarded(async () => {
  await scan.allSent();
  const { version, file } = await scan.api.save();
  say(`Saved, version ${parseInt(version, 10)}.`, file);
  await refresh();
  await listCases();
});

const judge = guarded(async (verdict) => {
  await scan.allSent();
  await scan.api.judge(verdict, el("remark").value);
  say(verdict === "accepted" ? "Accepted and saved." : "Sent back.");
  await refresh();
  await listCases();
});

// Three planes --------------------------------------------------------------------------------

const togglePlanes = guarded(async () => {
  if (planes.isOpen) planes.close();
  else await planes.open(scan, scan.about.presets[el("window").value], view.z);
});

// Tools and keys ------------------------------------------------------------------------------

function setTool(tool) {
  editor.tool = tool;
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.classList.toggle("on", button.dataset.tool === tool);
    button.setAttribute("aria-pressed", button.dataset.tool === tool);
  }
}

function setPen(size) {
  editor.size = Math.min(60, Math.max(1, size));
  el("pen").value = el("pen-size").textContent = editor.size;
  view.draw();
}

const undo = () => goTo(editor.undo() ?? view.z);

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
}

listen({
  ready: () => scan !== null,
  keys: {
    ArrowUp: () => goTo(view.z + 1),
    ArrowRight: () => goTo(view.z + 1),
    ArrowDown: () => goTo(view.z - 1),
    ArrowLeft: () => goTo(view.z - 1),
    PageUp: () => goTo(view.z + 10),
    PageDown: () => goTo(view.z - 10),
    d: () => setTool("draw"),
    e: () => setTool("erase"),
    f: () => setTool("fill"),
    "[": () => setPen(editor.size - 2),
    "]": () => setPen(editor.size + 2),
    p: propagate,
    n: nextSlice,
    k: () => editor.keep(),
    h: () => showLabels(!view.shown),
    t: togglePlanes,
    Escape: () => { if (scan.state.job.running) scan.api.stop().catch(tell); },
  },
  withControl: { z: undo, s: save },
  digit: (n) => organs.chooseNth(n),
});

for (const button of document.querySelectorAll("[data-tool]")) {
  button.addEventListener("click", () => setTool(button.dataset.tool));
}
el("pen").addEventListener("input", () => setPen(+el("pen").value));
el("undo").addEventListener("click", undo);
el("keep").addEventListener("click", () => editor.keep());
el("forget").addEventListener("click", () => editor.forget());
el("protect").addEventListener("change", () => { editor.protect = el("protect").checked; });
el("shown").addEventListener("change", () => showLabels(el("shown").checked));
el("window").addEventListener("change", () => {
  view.setWindow(scan.about.presets[el("window").value]);
  view.canvas.focus();
});
el("propagate").addEventListener("click", propagate);
el("stop").addEventListener("click", guarded(() => scan.api.stop()));
el("next").addEventListener("click", nextSlice);
el("save").addEventListener("click", save);
el("accept").addEventListener("click", () => judge("accepted"));
el("send-back").addEventListener("click", () => judge("sent back"));
el("open-planes").addEventListener("click", togglePlanes);
el("add-organ").addEventListener("submit", guarded(async (event) => {
  event.preventDefault();
  const { id, organs: all } = await scan.api.addOrgan(el("new-organ").value);
  el("new-organ").value = "";
  scan.organs = all;
  view.setOrgans();
  await scan.syncLabels();
  organs.show(all);
  organs.choose(id);
  await refresh();
}));

bar.onGo = goTo;
planes.onGo = (z) => { if (z !== view.z) goTo(z); };
editor.onTurn = (step) => goTo(view.z - step);
editor.onSay = say;
editor.onChange = () => { showState(); refreshSoon(); };
editor.onHover = (at) => { el("under").textContent = scan && at ? scan.under(view.z, at) : ""; };
organs.onChoose = (id, colour) => {
  editor.organ = id;
  editor.colour = colour;
  if (scan) bar.draw(view.z, id);
};
window.addEventListener("beforeunload", (event) => {
  if (scan?.waiting.size) event.preventDefault();
});

setTool("draw");
window.slicekit = { get scan() { return scan; }, view, editor, organs }; // for a look from outside
guarded(async () => {
  const { cases } = await listCases();
  if (cases.length) await openCase(0);
})();
