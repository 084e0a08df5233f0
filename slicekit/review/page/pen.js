// What a pen does to the voxels of one slice; no page, no canvas.

// Paint a disc around (x, y), in voxels; `may` says which ids may be painted over.
export function stamp(plane, rows, columns, { x, y, radius, aspect, id, may }) {
  let changed = false;
  const high = radius / aspect; // rows of a disc that is round in millimetres
  for (let row = Math.max(0, Math.floor(y - high)); row <= Math.min(rows - 1, y + high); row += 1) {
    for (let column = Math.max(0, Math.floor(x - radius));
      column <= Math.min(columns - 1, x + radius); column += 1) {
      const dx = column + 0.5 - x;
      const dy = (row + 0.5 - y) * aspect;
      const n = row * columns + column;
      if (dx * dx + dy * dy <= radius * radius && plane[n] !== id && may(plane[n])) {
        plane[n] = id;
        changed = true;
      }
    }
  }
  const n = Math.floor(y) * columns + Math.floor(x); // the thinnest pen still paints its voxel
  const inside = x >= 0 && y >= 0 && x < columns && y < rows;
  if (inside && plane[n] !== id && may(plane[n])) {
    plane[n] = id;
    changed = true;
  }
  return changed;
}

// Paint along a line, without gaps.
export function stroke(plane, rows, columns, from, to, pen) {
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
  const steps = Math.max(1, Math.ceil(length / Math.max(0.5, pen.radius / 2)));
  let changed = false;
  for (let step = from === to ? steps : 0; step <= steps; step += 1) {
    const share = step / steps;
    const x = from[0] + (to[0] - from[0]) * share;
    const y = from[1] + (to[1] - from[1]) * share;
    changed = stamp(plane, rows, columns, { ...pen, x, y }) || changed;
  }
  return changed;
}

// Fill what is connected to (x, y) and has its id; nothing where it reaches the slice's edge,
// for then the outline is open. Returns "filled", "open" or "same".
export function fill(plane, rows, columns, { x, y, id, may }) {
  const start = Math.floor(y) * columns + Math.floor(x);
  const old = plane[start];
  if (old === id || !may(old)) return "same";
  const found = [start];
  const seen = new Uint8Array(plane.length);
  seen[start] = 1;
  for (let n = 0; n < found.length; n += 1) {
    const at = found[n];
    const column = at % columns;
    const row = (at - column) / columns;
    if (old === 0 && (row === 0 || column === 0 || row === rows - 1 || column === columns - 1)) {
      return "open";
    }
    const near = [];
    if (column > 0) near.push(at - 1);
    if (column < columns - 1) near.push(at + 1);
    if (row > 0) near.push(at - columns);
    if (row < rows - 1) near.push(at + columns);
    for (const other of near) {
      if (!seen[other] && plane[other] === old) {
        seen[other] = 1;
        found.push(other);
      }
    }
  }
  for (const at of found) plane[at] = id;
  return "filled";
}
