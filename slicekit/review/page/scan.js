// One case in the browser: intensities, labels, and what is drawn; sends drawn slices at once.

import { openCase } from "./api.js";

export const DRAWN = 1;

// Nobody answers, or a server that was started anew and does not know this page yet.
export const isAway = (fault) => !fault.status || fault.status === 403;

export class Scan {
  constructor(index) {
    this.api = openCase(index);
    this.index = index;
    this.revision = 0;
    this.state = null;
    this.extra = new Map();      // slices that came before the stream reached them
    this.loadedBytes = 0;
    this.waiting = new Map();    // slice to what is not sent yet
    this.sending = null;
    this.localDrawn = new Map(); // slice to ids, where the server has not been asked since
    this.inFlight = -1;          // the slice that is being sent
    this.held = -1;              // the slice under the pen
    this.serial = 0;             // grows with every change made here
    this.changedAt = new Map();  // slice to the serial of its last change
    this.away = false;           // the server did not answer
    this.starting = false;       // a propagation was asked for, and not answered yet
    this.starts = 0;
    this.stopLoading = new AbortController();
    this.onImage = () => {};
    this.onSent = () => {};
    this.onRefused = () => {};
    this.onOthers = () => {}; // somebody else has drawn on a slice
    this.onFault = () => {};
  }

  async open() {
    const about = await this.api.about();
    Object.assign(this, {
      about, name: about.name, organs: about.organs, depth: about.shape[0],
      rows: about.shape[1], columns: about.shape[2], size: about.shape[1] * about.shape[2],
    });
    this.labels = this.emptyLabels(about.label_bytes);
    this.image = new Int16Array(this.depth * this.size);
    this.seen = new Float64Array(this.depth); // revision of every slice that is shown
    await Promise.all([this.syncLabels(), this.refresh()]);
  }

  // The middle of where most organs are, or of the scan.
  startSlice() {
    const sums = new Array(this.depth).fill(0);
    for (const values of Object.values(this.state.origin)) {
      values.forEach((from, z) => { sums[z] += from > 0; });
    }
    const most = Math.max(...sums);
    const zs = sums.flatMap((sum, z) => (most && sum === most ? [z] : []));
    return zs.length ? zs[zs.length >> 1] : this.depth >> 1;
  }

  emptyLabels(bytes) {
    const Kind = bytes === 2 ? Uint16Array : Uint8Array;
    return new Kind(this.depth * this.size);
  }

  close() {
    this.stopLoading.abort();
  }

  // Intensities -------------------------------------------------------------------------------

  hasImage(z) {
    return this.extra.has(z) || this.loadedBytes >= (z + 1) * this.size * 2;
  }

  imagePlane(z) {
    if (this.loadedBytes >= (z + 1) * this.size * 2) {
      return this.image.subarray(z * this.size, (z + 1) * this.size);
    }
    return this.extra.get(z) || null;
  }

  async needImage(z) {
    if (!this.hasImage(z) && !this.extra.has(z)) {
      const plane = await this.api.imageSlice(z);
      this.extra.set(z, plane);
      this.onImage(z);
    }
  }

  async stream() {
    const bytes = new Uint8Array(this.image.buffer);
    try {
      const reader = (await this.api.image(this.stopLoading.signal)).body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        bytes.set(value, this.loadedBytes);
        this.loadedBytes += value.length;
      }
      this.extra.clear();
      this.onImage(-1);
    } catch (fault) {
      if (fault.name !== "AbortError") this.onFault(fault);
    }
  }

  // What is under the pointer, in words.
  under(z, at) {
    const [x, y] = at.map(Math.floor);
    const plane = this.imagePlane(z);
    if (!plane || x < 0 || y < 0 || x >= this.columns || y >= this.rows) return "";
    const n = y * this.columns + x;
    const value = plane[n] * this.about.slope + this.about.offset;
    const organ = this.organs.find((one) => one.id === this.plane(z)[n]);
    return `${+value.toFixed(1)}${organ ? `, ${organ.name}` : ""}`;
  }

  // Labels ------------------------------------------------------------------------------------

  plane(z) {
    return this.labels.subarray(z * this.size, (z + 1) * this.size);
  }

  // Take over what has changed on the server, except slices that are changed here: those are sent.
  async syncLabels() {
    const began = this.serial;
    const found = await this.api.labelsSince(this.revision);
    if (found.label_bytes !== this.labels.BYTES_PER_ELEMENT) {
      const wider = this.emptyLabels(found.label_bytes);
      wider.set(this.labels);
      this.labels = wider;
    }
    const isMine = (z) => z === this.held || z === this.inFlight || this.waiting.has(z)
      || this.changedAt.get(z) > began;
    let passed = 0;
    const take = (z, fill) => {
      if (isMine(z)) {
        passed += 1;
        return;
      }
      fill(this.plane(z));
      if (this.seen[z] && found.put_at[z] > this.seen[z]) this.onOthers(z);
      this.seen[z] = found.revision;
    };
    found.slices.forEach((z, n) => {
      take(z, (plane) => plane.set(found.planes.subarray(n * this.size, (n + 1) * this.size)));
    });
    for (const z of found.empty) take(z, (plane) => plane.fill(0));
    if (!passed) this.revision = found.revision; // else they are asked for again
    return found.slices.length + found.empty.length - passed;
  }

  // `watch` only looks on: a case that the server has closed stays closed.
  async refresh(watch = false) {
    const { starts } = this;
    const state = await this.api.state(watch).catch((fault) => {
      this.away = isAway(fault);
      throw fault;
    });
    this.away = false;
    if (starts !== this.starts || this.starting) state.job = this.state.job; // told too early
    if (state.revision < this.revision) { // another server than before
      this.revision = 0;
      this.seen.fill(0);
    }
    this.state = state;
    if (!this.waiting.size && !this.sending) this.localDrawn.clear();
    return this.state;
  }

  // Shown as running before the server answers, whatever it told before.
  async propagate() {
    const before = this.state.job;
    this.starting = true;
    this.state.job = { running: true, done: 0, total: 0 };
    try {
      await this.allSent();
      this.state.job = await this.api.propagate();
    } catch (fault) {
      this.state.job = before;
      throw fault;
    } finally {
      this.starting = false;
      this.starts += 1;
    }
  }

  drawnOn(z) {
    const local = this.localDrawn.get(z);
    if (local) return new Set(local);
    const ids = this.organs.map((organ) => organ.id);
    return new Set(ids.filter((id) => this.state?.origin[id]?.[z] === DRAWN));
  }

  // A drawn slice goes out at once; of one slice only the latest is sent.
  send(z, drawn) {
    this.localDrawn.set(z, new Set(drawn));
    this.waiting.set(z, new Set(drawn));
    this.changedAt.set(z, ++this.serial);
    this.sending ??= this.pump().finally(() => { this.sending = null; });
    return this.sending;
  }

  async pump() {
    while (this.waiting.size) {
      const [z, drawn] = this.waiting.entries().next().value;
      const plane = this.plane(z).slice();
      this.waiting.delete(z);
      this.inFlight = z;
      try {
        const began = performance.now();
        const said = await this.api.putSlice(z, plane, drawn, this.seen[z]);
        this.lastSendMs = performance.now() - began;
        this.seen[z] = said.revision;
        if (said.revision === this.revision + 1) this.revision = said.revision;
        if (this.state) this.state.volumes_ml = said.volumes_ml;
        this.away = false;
        this.inFlight = -1;
        this.onSent();
      } catch (fault) {
        this.inFlight = -1;
        await this.notSent(fault, z, drawn);
      }
    }
  }

  // The server is away: keep what was drawn and try again. It refuses: show what it has.
  async notSent(fault, z, drawn) {
    if (isAway(fault)) {
      if (!this.waiting.has(z)) this.waiting.set(z, drawn);
      if (!this.away) this.onFault(fault);
      this.away = true;
      this.onSent();
      await new Promise((resolve) => setTimeout(resolve, 2000));
      return;
    }
    this.waiting.delete(z);
    this.localDrawn.delete(z);
    this.changedAt.delete(z);
    this.revision = Math.min(this.revision, this.seen[z]);
    try {
      await this.syncLabels();
      await this.refresh();
    } catch (more) {
      this.onFault(more);
    }
    this.onRefused(z);
    this.onFault(fault);
  }

  async allSent() {
    while (this.sending) await this.sending;
  }
}
