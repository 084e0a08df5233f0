// What a pen does to the voxels of a slice; run by test_pen.py with node.

import assert from "node:assert/strict";
import { fill, stamp, stroke } from "../../slicekit/review/page/pen.js";

const [rows, columns] = [20, 30];
const empty = () => new Uint8Array(rows * columns);
const count = (plane, id = 1) => plane.reduce((sum, one) => sum + (one === id), 0);
const pen = { radius: 3, aspect: 1, id: 1, may: () => true };

const dot = empty();
assert.equal(stamp(dot, rows, columns, { ...pen, x: 10, y: 10 }), true);
assert.ok(Math.abs(count(dot) - Math.PI * 9) < 6, "a disc");
assert.equal(stamp(dot, rows, columns, { ...pen, x: 10, y: 10 }), false, "nothing new");

const thin = empty();
stamp(thin, rows, columns, { ...pen, radius: 0.5, x: 4.9, y: 7.2 });
assert.deepEqual([...thin.keys()].filter((n) => thin[n]), [7 * columns + 4], "one voxel");

const flat = empty(); // voxels twice as high as wide: half as many rows
stamp(flat, rows, columns, { ...pen, radius: 4, aspect: 2, x: 15, y: 10 });
const used = new Set([...flat.keys()].filter((n) => flat[n]).map((n) => Math.floor(n / columns)));
assert.equal(used.size, 4, "round in millimetres");

const edge = empty();
stamp(edge, rows, columns, { ...pen, radius: 50, x: -5, y: -5 });
stamp(edge, rows, columns, { ...pen, x: 500, y: 500 });
assert.ok(count(edge) <= rows * columns, "the slice's edge cuts it off");

const line = empty();
stroke(line, rows, columns, [2, 5], [27, 5], { ...pen, radius: 1 });
for (let x = 2; x < 27; x += 1) assert.equal(line[5 * columns + x], 1, "no gap in a quick stroke");

const others = empty().fill(2);
stroke(others, rows, columns, [2, 5], [27, 5], { ...pen, may: (id) => id !== 2 });
assert.equal(count(others), 0, "others are protected");

const ring = empty();
for (let n = 0; n <= 64; n += 1) {
  const angle = (n * 2 * Math.PI) / 64;
  stamp(ring, rows, columns, { ...pen, radius: 0.6, x: 15 + 6 * Math.cos(angle), y: 10 + 6 * Math.sin(angle) });
}
const open = ring.slice();
open.fill(0, 9 * columns, 11 * columns);
const before = open.slice();
assert.equal(fill(open, rows, columns, { ...pen, x: 15.5, y: 8.5 }), "open");
assert.deepEqual(open, before, "an open outline is left alone");
assert.equal(fill(ring, rows, columns, { ...pen, x: 15.5, y: 10.5 }), "filled");
assert.ok(count(ring) > Math.PI * 25);
assert.equal(ring[0], 0, "only inside");
assert.equal(fill(ring, rows, columns, { ...pen, x: 15.5, y: 10.5 }), "same");
console.log("fine");
