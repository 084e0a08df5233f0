// What a window takes over from the server and what it keeps; run by test_page_scan.py with node.

import assert from "node:assert/strict";
import { Scan } from "../../slicekit/review/page/scan.js";
import { changes } from "../../slicekit/review/page/versions.js";

const [depth, size] = [4, 2];

// A server with one number a slice, which every voxel of it has.
function made() {
  const scan = new Scan(0);
  const server = { revision: 1, values: [0, 0, 0, 0], changed: [1, 1, 1, 1], put: [0, 0, 0, 0] };
  server.change = (z, value) => {
    server.values[z] = value;
    server.changed[z] = ++server.revision;
  };
  Object.assign(scan, {
    depth, rows: 1, columns: size, size, organs: [{ id: 1 }], labels: new Uint8Array(depth * size),
    seen: new Float64Array(depth), server,
  });
  scan.api = {
    labelsSince: async (since) => {
      const slices = [0, 1, 2, 3].filter((z) => server.changed[z] > since);
      const planes = new Uint8Array(slices.flatMap((z) => Array(size).fill(server.values[z])));
      const { revision } = server;
      await server.pause;
      return { revision, slices, empty: [], label_bytes: 1, planes, put_at: { ...server.put } };
    },
    state: async () => ({ revision: server.revision, origin: {}, volumes_ml: {} }),
    putSlice: async (z, plane, drawn, seen) => {
      if (server.away) throw Object.assign(new Error("away"), { status: 0 });
      if (server.put[z] > seen) throw Object.assign(new Error("stale"), { status: 409 });
      server.change(z, plane[0]);
      server.put[z] = server.revision;
      return { revision: server.revision, volumes_ml: {} };
    },
  };
  return scan;
}

const shown = (scan) => [0, 1, 2, 3].map((z) => scan.plane(z)[0]);

{ // what was carried is taken over, but not under the pen, and that is asked for again
  const scan = made();
  await scan.syncLabels();
  scan.server.change(1, 7);
  scan.server.change(2, 8);
  scan.held = 2;
  assert.equal(await scan.syncLabels(), 1);
  assert.deepEqual(shown(scan), [0, 7, 0, 0]);
  scan.held = -1;
  await scan.syncLabels();
  assert.deepEqual(shown(scan), [0, 7, 8, 0]);
}
{ // a stroke that ends while labels are under way is not wiped out by them
  const scan = made();
  await scan.syncLabels();
  scan.server.change(1, 7);
  let go = null;
  scan.server.pause = new Promise((resolve) => { go = resolve; });
  const syncing = scan.syncLabels();
  scan.plane(1).fill(5);
  await scan.send(1, new Set([5]));
  go();
  await syncing;
  assert.deepEqual(shown(scan), [0, 5, 0, 0]);
  assert.equal(scan.server.values[1], 5);
}
{ // what another window drew is not overwritten, but shown
  const [one, other] = [made(), made()];
  other.server = one.server;
  other.api = one.api;
  await Promise.all([one.syncLabels(), other.syncLabels()]);
  const refused = [];
  const others = [];
  one.onOthers = (z) => others.push(z);
  other.onRefused = (z) => refused.push(z);
  one.plane(3).fill(4);
  await one.send(3, new Set([4]));
  other.plane(3).fill(6);
  await other.send(3, new Set([6]));
  assert.deepEqual([refused, shown(other), shown(one)], [[3], [0, 0, 0, 4], [0, 0, 0, 4]]);
  other.plane(3).fill(6);
  await other.send(3, new Set([6]));
  assert.equal(one.server.values[3], 6, "once it was seen");
  await one.syncLabels();
  assert.deepEqual([others, one.plane(3)[0]], [[3], 6], "undo must not wipe it out");
  one.plane(2).fill(9);
  await one.send(2, new Set([9]));
  one.revision = 0;
  await one.syncLabels();
  assert.deepEqual(others, [3], "its own are no others");
}
{ // what is drawn while the server is away goes out when it is back
  const scan = made();
  const told = [];
  scan.onFault = (fault) => told.push(fault.message);
  scan.server.away = true;
  scan.plane(0).fill(3);
  const sending = scan.send(0, new Set([3]));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual([scan.away, scan.waiting.size, told], [true, 1, ["away"]]);
  scan.server.away = false;
  await sending;
  assert.deepEqual([scan.away, scan.server.values[0]], [false, 3]);
}
{ // a propagation that was asked for is running, whatever the server told just before
  const scan = made();
  const idle = { running: false, outcome: "" };
  const { state } = scan.api;
  scan.api.state = async () => ({ ...await state(), job: idle });
  await scan.refresh();
  let answer = null;
  scan.api.propagate = () => new Promise((resolve) => { answer = resolve; });
  const late = scan.refresh();
  const started = scan.propagate();
  await late;
  await scan.refresh();
  assert.equal(scan.state.job.running, true);
  answer({ running: true });
  await started;
  assert.equal(scan.state.job.running, true);
  await scan.refresh();
  assert.equal(scan.state.job.running, false, "it was a short one");
}
{ // a server that was started anew counts anew
  const scan = made();
  scan.revision = 90;
  scan.seen.fill(90);
  await scan.refresh();
  assert.deepEqual([scan.revision, ...scan.seen], [0, 0, 0, 0, 0]);
}
{
  const found = changes({ liver: 10, spleen: 3, gland: 1 }, { liver: 12, spleen: 3.001, kidney: 5 });
  assert.deepEqual(found.map(({ name, by }) => [name, by]),
    [["kidney", -5], ["liver", -2], ["gland", 1]]);
}
console.log("fine");
