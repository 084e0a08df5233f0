// Propagation: start it, show what is finished while it goes on, and tell how it ended.

import { say } from "./message.js";

const EVERY_MS = 150;

export class Carrying {
  constructor({ show, changed, ended }) {
    Object.assign(this, { show, changed, ended });
    this.watching = false;
  }

  // `isShown` tells whether the page still shows this scan.
  async start(scan, isShown) {
    if (scan.state.job.running) return;
    const started = scan.propagate();
    this.show();
    try {
      await started;
    } catch (fault) {
      this.show();
      throw fault;
    }
    await this.watch(scan, isShown);
  }

  async watch(scan, isShown) {
    if (this.watching) return;
    this.watching = true;
    try {
      do {
        await scan.refresh();
        if (scan.state.revision !== scan.revision && await scan.syncLabels()) this.changed();
        this.show();
        if (!scan.state.job.running) break;
        await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      } while (isShown());
      if (isShown()) await this.tell(scan);
    } finally {
      this.watching = false;
    }
  }

  async tell(scan) {
    const { outcome, fault, seconds } = scan.state.job;
    await scan.syncLabels();
    this.changed();
    if (outcome === "failed") say(fault.cause, fault.cure, true);
    else if (outcome === "stopped") say("Stopped.", "What was finished stays; propagate goes on.");
    else say(`Carried in ${seconds} s.`);
    await this.ended(outcome);
  }
}
