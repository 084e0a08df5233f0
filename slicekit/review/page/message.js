// What the page has to say, for a few seconds; faults with their cause and cure.

import { Fault } from "./api.js";

const box = document.getElementById("message");
let ends = 0;

// A capital where a word begins, but not a path, and a full stop where nothing ends it.
export function sentence(text) {
  const begun = /^[a-z]+[\s,:;.]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  const isPath = /[/\\]\S*$/.test(begun);
  return begun && !isPath && !/[.?!…]$/.test(begun) ? `${begun}.` : begun;
}

export function say(cause, cure = "", fault = false) {
  const strong = document.createElement("b");
  strong.textContent = sentence(cause);
  const rest = document.createElement("span");
  rest.textContent = cure ? ` ${sentence(cure)}` : "";
  box.replaceChildren(strong, rest);
  box.className = fault ? "fault" : "";
  box.hidden = false;
  clearTimeout(ends);
  ends = setTimeout(() => { box.hidden = true; }, fault ? 12000 : 3500);
}

export function hush() {
  box.hidden = true;
}

export function tell(fault) {
  if (!(fault instanceof Fault)) console.error(fault);
  say(fault.cause || fault.message, fault.cure ?? "", true);
}

// A function that tells its faults instead of throwing them.
export const guarded = (work) => async (...given) => {
  try {
    return await work(...given);
  } catch (fault) {
    tell(fault);
    return null;
  }
};
