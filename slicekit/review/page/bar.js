// All slices in one bar: colour says where a mask comes from, height how doubtful it is.

export const ORIGINS = [
  { name: "unseen", colour: "#2c3540", means: "Nothing of the organ is there, or nobody looked" },
  { name: "drawn", colour: "#37b98e", means: "You drew it, or confirmed it" },
  { name: "propagated", colour: "#4a90d9", means: "A network carried it here" },
  { name: "interpolated", colour: "#b07fe0", means: "The shapes of drawn slices were interpolated" },
  { name: "given", colour: "#8593a3", means: "It was in the labels that were opened" },
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
        this.onGo(this.sliceAt(event));
      }
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      go(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      go(event);
      canvas.title = this.told(this.sliceAt(event));
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
    const entries = [...ORIGINS, { name: "height = doubt", colour: "transparent" },
      { name: "draw next", colour: NEXT, means: "Where a drawing would mend most (N)" }];
    for (const { name, colour, means } of entries) {
      const entry = document.createElement("span");
      entry.title = means ?? "";
      if (colour !== "transparent") {
        const box = document.createElement("i");
        box.style.background = colour;
        entry.append(box);
      }
      entry.append(name);
      legend.append(entry);
    }
  }

  sliceAt(event) {
    if (!this.scan) return 0;
    const box = this.canvas.getBoundingClientRect();
    const z = Math.floor(((event.clientX - box.left) / box.width) * this.scan.depth);
    return Math.min(this.scan.depth - 1, Math.max(0, z));
  }

  // Where the chosen organ's mask on a slice comes from.
  originOf(z) {
    const from = this.scan.state.origin[this.organ]?.[z] ?? 0;
    const drawn = this.scan.localDrawn.get(z);
    if (!drawn) return from;
    return drawn.has(this.organ) ? 1 : from === 1 ? 0 : from;
  }

  told(z) {
    if (!this.scan?.state) return "";
    const from = this.originOf(z);
    const doubt = from === 1 ? 0 : this.scan.state.doubt[this.organ]?.[z] ?? 0;
    const next = this.scan.state.next.find((one) => one.z === z);
    return `slice ${z + 1}: ${ORIGINS[from].name}${doubt ? `, doubt ${doubt.toFixed(2)}` : ""}`
      + `${next ? `; draw next: ${next.reason}` : ""}`;
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
    const doubt = state.doubt[organ] ?? [];
    const strip = STRIP * ratio;
    const room = height - strip - TOP * ratio;
    for (let n = 0; n < depth; n += 1) {
      const left = Math.round((n * width) / depth);
      const wide = Math.max(1, Math.round(((n + 1) * width) / depth) - left - (width > 4 * depth ? 1 : 0));
      const from = this.originOf(n);
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
