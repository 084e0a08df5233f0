// All slices in one bar: colour says where a mask comes from, height how doubtful it is.

export const ORIGINS = [
  { name: "unseen", colour: "#2c3540" },
  { name: "drawn", colour: "#37b98e" },
  { name: "propagated", colour: "#4a90d9" },
  { name: "interpolated", colour: "#b07fe0" },
  { name: "given", colour: "#8593a3" },
];
const NEXT = "#f2b84b";
const STRIP = 12;
const TOP = 12;

export class Bar {
  constructor(canvas, legend) {
    this.canvas = canvas;
    this.onGo = () => {};
    const go = (event) => {
      if (event.buttons === 1 && this.scan) {
        const box = canvas.getBoundingClientRect();
        const z = Math.floor(((event.clientX - box.left) / box.width) * this.scan.depth);
        this.onGo(Math.min(this.scan.depth - 1, Math.max(0, z)));
      }
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      go(event);
    });
    canvas.addEventListener("pointermove", go);
    new ResizeObserver(() => this.draw()).observe(canvas);
    const entries = [...ORIGINS, { name: "height: doubt", colour: "transparent" },
      { name: "draw next", colour: NEXT }];
    for (const { name, colour } of entries) {
      const entry = document.createElement("span");
      if (colour !== "transparent") {
        const box = document.createElement("i");
        box.style.background = colour;
        entry.append(box);
      }
      entry.append(name);
      legend.append(entry);
    }
  }

  show(scan) {
    this.scan = scan;
  }

  draw(z = this.z, organ = this.organ) {
    this.z = z;
    this.organ = organ;
    if (!this.scan?.state) return;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio);
    const height = Math.round(this.canvas.clientHeight * ratio);
    this.canvas.width = width;
    this.canvas.height = height;
    const context = this.canvas.getContext("2d");
    const { depth, state } = this.scan;
    const origin = state.origin[organ] ?? [];
    const doubt = state.doubt[organ] ?? [];
    const strip = STRIP * ratio;
    const room = height - strip - TOP * ratio;
    for (let n = 0; n < depth; n += 1) {
      const left = Math.round((n * width) / depth);
      const wide = Math.max(1, Math.round(((n + 1) * width) / depth) - left - (width > 4 * depth ? 1 : 0));
      const drawn = this.scan.localDrawn.get(n);
      let from = origin[n] ?? 0;
      if (drawn) from = drawn.has(organ) ? 1 : from === 1 ? 0 : from;
      context.fillStyle = ORIGINS[from].colour;
      context.fillRect(left, height - strip, wide, strip);
      const tall = (from === 1 ? 0 : doubt[n] ?? 0) * room;
      context.globalAlpha = 0.75;
      context.fillRect(left, height - strip - tall, wide, tall);
      context.globalAlpha = 1;
    }
    for (const one of state.next) {
      const x = ((one.z + 0.5) * width) / depth;
      context.globalAlpha = one.organs.includes(organ) ? 1 : 0.45;
      context.fillStyle = NEXT;
      context.beginPath();
      context.moveTo(x - 5 * ratio, 1);
      context.lineTo(x + 5 * ratio, 1);
      context.lineTo(x, 9 * ratio);
      context.fill();
      context.globalAlpha = 1;
    }
    const x = Math.round(((z + 0.5) * width) / depth);
    context.strokeStyle = "#ffffff";
    context.lineWidth = Math.max(1, 1.5 * ratio);
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, height);
    context.stroke();
  }
}
