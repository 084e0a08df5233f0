// What the page says of the state of a case: kept or not, progress, advice, verdict.

import { say } from "./message.js";

let told = ""; // why drawings could not be written, so that it is said once

const el = (id) => document.getElementById(id);

export function showStatus(scan, editor) {
  const { state } = scan;
  const { job } = state;
  const drawn = scan.localDrawn.size > 0 || state.carried
    || Object.values(state.origin).some((values) => values.includes(1));
  el("undo").disabled = !editor.past.length;
  el("redo").disabled = !editor.future.length;
  el("progress").hidden = !job.running;
  el("advice").hidden = job.running;
  el("propagate").disabled = job.running || !drawn;
  el("next").disabled = !state.next.length;
  if (job.total) Object.assign(el("progress-bar"), { max: job.total, value: job.done });
  else el("progress-bar").removeAttribute("value");
  el("progress-text").textContent = job.total ? `${job.done} of ${job.total} slices` : "starting …";
  el("advice").textContent = advice(scan, drawn);
  el("verdict").textContent = state.verdict;
  el("verdict").className = state.verdict.replace(" ", "-");
  showKept(scan);
}

function advice(scan, drawn) {
  const next = scan.state.next[0];
  if (next && !drawn) return `Look at slice ${next.z + 1} first: ${next.reason}.`;
  if (next) return `Draw slice ${next.z + 1} next: ${next.reason}.`;
  if (drawn && !scan.state.carried) return scan.about.given
    ? "Propagate carries the correction to its neighbourhood."
    : "Propagate carries what is drawn through the scan.";
  if (drawn) return "";
  return scan.about.given ? "Correct a slice and propagate: its neighbourhood follows."
    : "Draw an organ on two or three slices, then propagate.";
}

function showKept(scan) {
  const { state } = scan;
  const fault = state.autosave_fault;
  if (fault && fault.cause !== told) say(fault.cause, fault.cure, true);
  told = fault?.cause ?? "";
  const under = scan.waiting.size > 0 || Boolean(scan.sending) || !state.kept;
  const [text, kind, title] = scan.away
    ? ["server does not answer", "fault", "What you draw is held in this page and sent once it answers"]
    : fault ? ["drawings are not kept", "fault", `${fault.cause}; ${fault.cure}`]
      : under ? ["keeping …", "", "Drawings are being written"]
        : state.saved ? ["saved", "", scan.about.out]
          : state.begun ? ["labels not saved", "",
            `Drawings are kept by themselves; Save writes ${scan.about.out}`]
            : ["nothing changed", "", "Nothing was drawn yet"];
  const box = el("kept");
  if (box.textContent !== text) box.textContent = text; // else it is read aloud again
  box.className = kind;
  box.title = title;
  el("save").classList.toggle("main", state.begun && !state.saved);
}
