// Saving, the verdict, and versions that come back; each only once everything drawn was sent.

import { Fault } from "./api.js";
import { guarded, say } from "./message.js";

export function expectServer(scan) {
  if (scan?.away) throw new Fault({}, 0);
}

// `current` gives the scan; `saved` is called when the state has changed, `replaced` when all
// labels have.
export function makeSaving({ current, editor, remark, saved, replaced }) {
  const ready = async () => {
    const scan = current();
    expectServer(scan);
    await scan.allSent();
    return scan;
  };

  const save = guarded(async () => {
    const scan = await ready();
    const { version, file } = await scan.api.save();
    say(`Saved, version ${parseInt(version, 10)}.`, file);
    await saved();
  });

  const judge = guarded(async (verdict) => {
    const scan = await ready();
    await scan.api.judge(verdict, remark.value);
    say(verdict === "accepted" ? "Accepted and saved." : "Sent back.");
    await saved();
  });

  const show = guarded(async (number) => {
    const scan = await ready();
    const { kept, organs } = await scan.api.restore(number);
    const others = scan.onOthers;
    scan.onOthers = () => {}; // it was this window, and undo goes on behind it
    try {
      await scan.refresh();
      await scan.syncLabels();
    } finally {
      scan.onOthers = others;
    }
    replaced(organs);
    return kept;
  });

  const restore = async (number) => {
    const kept = await show(number);
    if (kept === null) return;
    editor.remember({ version: kept });
    say(`Version ${number} is shown again.`, "Undo takes it back.");
    await saved();
  };

  const takeBack = async (number) => {
    if (await show(number) === null) editor.past.push({ version: number }); // undo may try again
    else say("Taken back.", "What was there before is shown again.");
    await saved();
  };

  return { save, judge, restore, takeBack };
}
