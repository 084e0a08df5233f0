// Which case is shown, or why it cannot be.

import { sentence } from "./message.js";

const el = (id) => document.getElementById(id);

// Nothing can be done to a case that is not shown.
export function setUsable(usable) {
  const parts = ["tools", "bar-box", "save", "open-versions", "open-planes", "window"].map(el);
  for (const part of [...parts, document.querySelector("aside")]) part.inert = !usable;
}

export function showLoading(...content) {
  el("loading").hidden = false;
  el("loading").replaceChildren(...content);
}

export function showHeading(scan) {
  const size = document.createElement("small");
  size.textContent = `${scan.about.shape.slice().reverse().join(" × ")} voxels, `
    + `${scan.about.spacing_mm.map((step) => +step.toFixed(2)).reverse().join(" × ")} mm`;
  el("title").replaceChildren(scan.name, size);
  el("title").title = `${scan.name}: ${size.textContent}`;
  document.title = `${scan.name} – slicekit review`;
  document.body.dataset.shown = scan.name;
  el("loading").hidden = true;
  setUsable(true);
}

export function showUnreadable(name, fault) {
  const [cause, cure] = ["b", "span"].map((kind) => document.createElement(kind));
  cause.textContent = sentence(fault.cause || fault.message);
  cure.textContent = sentence(fault.cure ?? "");
  showLoading("This case cannot be shown.", cause, cure);
  el("title").textContent = name;
  el("title").title = name;
  el("kept").textContent = "";
  document.title = `${name} – slicekit review`;
}
