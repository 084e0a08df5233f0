// Tools on the axial view, and the way back: every change of a slice can be undone.

import { fill, stroke } from "./pen.js";

const MOST_STEPS = 100;

export class Editor {
  constructor(view) {
    this.view = view;
    this.tool = "draw";
    this.size = 9;
    this.protect = false;
    this.organ = 1;
    this.past = [];
    this.future = [];
    this.going = null;
    this.at = null;
    this.onChange = () => {};
    this.onSay = () => {};
    this.onHush = () => {};
    this.onHover = () => {};
    this.onTurn = () => {};
    this.onRestore = () => {};
    this.onContrast = () => {};
    const { canvas } = view;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => this.up(event));
    canvas.addEventListener("pointerleave", () => this.hover(null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  get scan() {
    return this.view.scan;
  }

  pen() {
    const [, sy, sx] = this.scan.about.spacing_mm;
    const erases = this.tool === "erase";
    return {
      radius: this.size / 2,
      aspect: sy / sx,
      id: erases ? 0 : this.organ,
      may: (id) => (erases ? id === this.organ : !this.protect || id === 0 || id === this.organ),
    };
  }

  down(event) {
    if (!this.scan) return;
    this.view.canvas.setPointerCapture(event.pointerId);
    this.view.canvas.focus({ preventScroll: true });
    const at = this.view.voxelAt(event);
    if (event.button === 1 || event.shiftKey) {
      this.going = { kind: "pan", from: [event.clientX, event.clientY], pan: this.view.pan };
      return;
    }
    if (event.button === 2) {
      this.going = { kind: "contrast", last: [event.clientX, event.clientY] };
      return;
    }
    if (event.button !== 0) return;
    const z = this.view.z;
    const before = this.scan.plane(z).slice();
    if (this.tool === "fill") {
      const { rows, columns } = this.scan;
      if (at[0] < 0 || at[1] < 0 || at[0] >= columns || at[1] >= rows) return;
      const done = fill(this.scan.plane(z), rows, columns, { x: at[0], y: at[1], ...this.pen() });
      if (done === "open") {
        this.onSay("This place is not enclosed.", "Click inside the outline, or close it first.");
      }
      if (done === "filled") {
        this.onHush();
        this.commit(z, before);
      }
      return;
    }
    this.going = { kind: "stroke", z, before, last: at, changed: false };
    this.scan.held = z;
    this.paint(at, at);
  }

  move(event) {
    if (!this.scan) return;
    const at = this.view.voxelAt(event);
    if (this.going?.kind === "pan") {
      const { from, pan } = this.going;
      this.view.pan = [pan[0] + event.clientX - from[0], pan[1] + event.clientY - from[1]];
      this.view.draw();
    }
    if (this.going?.kind === "contrast") {
      const [x, y] = this.going.last;
      this.going.last = [event.clientX, event.clientY];
      this.onContrast(event.clientX - x, event.clientY - y);
    }
    if (this.going?.kind === "stroke") {
      const several = event.getCoalescedEvents?.() ?? [];
      for (const one of several.length ? several : [event]) {
        const to = this.view.voxelAt(one);
        this.paint(this.going.last, to);
        this.going.last = to;
      }
    }
    this.hover(at);
  }

  up() {
    const { going } = this;
    this.going = null;
    if (this.scan) this.scan.held = -1;
    if (going?.kind === "contrast") this.onContrast(0, 0, true);
    if (going?.kind === "stroke" && going.changed) this.commit(going.z, going.before);
  }

  paint(from, to) {
    const { rows, columns } = this.scan;
    const plane = this.scan.plane(this.going.z);
    if (stroke(plane, rows, columns, from, to, this.pen())) {
      this.going.changed = true;
      this.view.paintTint();
    }
  }

  hover(at) {
    this.at = at; // where the pointer is
    const pens = this.tool !== "fill";
    const colour = this.tool === "erase" ? "#ffffff" : this.colour ?? "#ffffff";
    this.view.cursor = at && pens
      ? { x: at[0], y: at[1], radius: Math.max(0.5, this.size / 2), colour } : null;
    this.view.draw();
    this.onHover(at);
  }

  wheel(event) {
    event.preventDefault();
    if (!this.scan) return;
    if (event.ctrlKey) this.view.zoomAt(event, Math.exp(-event.deltaY / 300));
    else this.onTurn(Math.sign(event.deltaY));
  }

  // Remember how it was, mark as drawn whatever changed, and send the slice.
  commit(z, before, more = []) {
    const plane = this.scan.plane(z);
    const drawnBefore = this.scan.drawnOn(z);
    const drawn = new Set([...drawnBefore, ...more]);
    for (let n = 0; n < plane.length; n += 1) {
      if (plane[n] !== before[n]) {
        if (plane[n]) drawn.add(plane[n]);
        if (before[n]) drawn.add(before[n]);
      }
    }
    this.remember({ z, plane: before, drawn: drawnBefore });
    this.scan.send(z, drawn);
    this.view.paintTint();
    this.onChange(z);
  }

  // The chosen organ is right on this slice as it is, or not there.
  keep() {
    const { z } = this.view;
    this.commit(z, this.scan.plane(z).slice(), [this.organ]);
  }

  // Nothing on this slice counts as drawn; the next propagation answers it again.
  forget() {
    const { z } = this.view;
    this.remember({ z, plane: this.scan.plane(z).slice(), drawn: this.scan.drawnOn(z) });
    this.scan.send(z, new Set());
    this.onChange(z);
  }

  // A step back: a slice as it was, or the version that holds what a restored one replaced.
  remember(step) {
    this.past.push(step);
    if (this.past.length > MOST_STEPS) this.past.shift();
    this.future = [];
  }

  // Nothing here leads back to what somebody else has changed meanwhile.
  forgetSteps(z = null) {
    const others = (step) => z !== null && step.z !== z;
    this.past = this.past.filter(others);
    this.future = this.future.filter(others);
  }

  undo() {
    return this.step(this.past, this.future);
  }

  redo() {
    return this.step(this.future, this.past);
  }

  step(from, to) {
    if (this.going) return null; // not under the pen
    const step = from.pop();
    if (!step) return null;
    if (step.version) {
      this.onRestore(step.version);
      return null;
    }
    const { z } = step;
    to.push({ z, plane: this.scan.plane(z).slice(), drawn: this.scan.drawnOn(z) });
    this.scan.plane(z).set(step.plane);
    this.scan.send(z, step.drawn);
    this.onChange(z);
    return z;
  }
}
