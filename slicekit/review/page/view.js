// The axial slice on a canvas: intensities through a window, labels above them, zoom and pan.

const PADDING = 14;
const EDGE = 0xe0000000;

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.gray = document.createElement("canvas");
    this.tint = document.createElement("canvas");
    this.lut = new Uint8ClampedArray(65536);
    this.z = 0;
    this.zoom = 1;
    this.pan = [0, 0];
    this.shown = true;
    this.opacity = 0.35; // of what is inside of an outline
    this.cursor = null; // { x, y, radius } in voxels
    this.palette = new Uint32Array(65536);
    this.waits = false;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(scan) {
    this.scan = scan;
    for (const layer of [this.gray, this.tint]) {
      layer.width = scan.columns;
      layer.height = scan.rows;
    }
    this.grayPixels = new ImageData(scan.columns, scan.rows);
    this.tintPixels = new ImageData(scan.columns, scan.rows);
    this.fit();
    this.setOrgans();
  }

  setOrgans() {
    for (const { id, colour } of this.scan.organs) {
      const [r, g, b] = [1, 3, 5].map((n) => parseInt(colour.slice(n, n + 2), 16));
      this.palette[id] = (b << 16) | (g << 8) | r;
    }
  }

  setWindow({ low, high }) {
    const { slope, offset } = this.scan.about;
    for (let n = 0; n < 65536; n += 1) {
      const value = (n - 32768) * slope + offset;
      this.lut[n] = (255 * (value - low)) / (high - low);
    }
    this.paintGray();
  }

  fit() {
    this.zoom = 1;
    this.pan = [0, 0];
    this.draw();
  }

  goTo(z) {
    this.z = z;
    this.paintGray();
    this.paintTint();
  }

  paintGray() {
    const plane = this.scan.imagePlane(this.z);
    const pixels = new Uint32Array(this.grayPixels.data.buffer);
    if (!plane) {
      pixels.fill(0xff000000);
    } else {
      for (let n = 0; n < pixels.length; n += 1) {
        const value = this.lut[plane[n] + 32768];
        pixels[n] = 0xff000000 | (value << 16) | (value << 8) | value;
      }
    }
    this.gray.getContext("2d").putImageData(this.grayPixels, 0, 0);
    this.draw();
  }

  paintTint() {
    const { rows, columns } = this.scan;
    const plane = this.scan.plane(this.z);
    const pixels = new Uint32Array(this.tintPixels.data.buffer);
    const inside = Math.round(255 * this.opacity) << 24;
    for (let y = 0, n = 0; y < rows; y += 1) {
      for (let x = 0; x < columns; x += 1, n += 1) {
        const id = plane[n];
        if (id === 0) {
          pixels[n] = 0;
          continue;
        }
        const edge = (x > 0 && plane[n - 1] !== id) || (x < columns - 1 && plane[n + 1] !== id)
          || (y > 0 && plane[n - columns] !== id) || (y < rows - 1 && plane[n + columns] !== id);
        pixels[n] = ((edge ? EDGE : inside) | this.palette[id]) >>> 0;
      }
    }
    this.tint.getContext("2d").putImageData(this.tintPixels, 0, 0);
    this.draw();
  }

  // Where voxel (0, 0) begins, and canvas pixels a voxel.
  place() {
    const [, sy, sx] = this.scan.about.spacing_mm;
    const ratio = window.devicePixelRatio || 1;
    const width = this.canvas.clientWidth * ratio;
    const height = this.canvas.clientHeight * ratio;
    const [wide, high] = [this.scan.columns * sx, this.scan.rows * sy];
    const fit = Math.min((width - 2 * PADDING) / wide, (height - 2 * PADDING) / high);
    const scale = Math.max(1e-3, fit * this.zoom);
    const left = (width - wide * scale) / 2 + this.pan[0] * ratio;
    const top = (height - high * scale) / 2 + this.pan[1] * ratio;
    return { left, top, kx: sx * scale, ky: sy * scale, width, height, ratio };
  }

  voxelAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const { left, top, kx, ky, ratio } = this.place();
    const x = ((event.clientX - box.left) * ratio - left) / kx;
    const y = ((event.clientY - box.top) * ratio - top) / ky;
    return [x, y];
  }

  // Where a voxel's middle is on the page.
  pageOf(x, y) {
    const box = this.canvas.getBoundingClientRect();
    const { left, top, kx, ky, ratio } = this.place();
    return [box.left + (left + (x + 0.5) * kx) / ratio, box.top + (top + (y + 0.5) * ky) / ratio];
  }

  zoomAt(event, factor) {
    const [x, y] = this.voxelAt(event);
    this.zoom = Math.min(20, Math.max(0.5, this.zoom * factor));
    const [nx, ny] = this.voxelAt(event);
    const { kx, ky, ratio } = this.place();
    this.pan = [this.pan[0] + ((nx - x) * kx) / ratio, this.pan[1] + ((ny - y) * ky) / ratio];
    this.draw();
  }

  draw() {
    if (!this.scan || this.waits) return;
    this.waits = true;
    requestAnimationFrame(() => {
      this.waits = false;
      this.paint();
    });
  }

  paint() {
    const { left, top, kx, ky, width, height, ratio } = this.place();
    const { context } = this;
    if (this.canvas.width !== Math.round(width) || this.canvas.height !== Math.round(height)) {
      this.canvas.width = Math.round(width);
      this.canvas.height = Math.round(height);
    }
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    const [wide, high] = [this.scan.columns * kx, this.scan.rows * ky];
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.gray, left, top, wide, high);
    if (this.shown) {
      context.imageSmoothingEnabled = false;
      context.drawImage(this.tint, left, top, wide, high);
    }
    if (this.cursor) {
      const { x, y, radius, colour } = this.cursor;
      context.beginPath();
      context.ellipse(left + x * kx, top + y * ky, radius * kx, radius * kx, 0, 0, 2 * Math.PI);
      for (const [line, wide] of [["#000a", 3], [colour, 1.25]]) { // seen on its own colour, too
        context.strokeStyle = line;
        context.lineWidth = wide * ratio;
        context.stroke();
      }
    }
    this.paintSides(width, height, ratio);
  }

  paintSides(width, height, ratio) {
    const { context } = this;
    context.fillStyle = "#8d99a8";
    context.font = `${12 * ratio}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const edge = 12 * ratio;
    context.fillText("A", width / 2, edge);
    context.fillText("P", width / 2, height - edge);
    context.fillText("R", edge, height / 2);
    context.fillText("L", width - edge, height / 2);
  }
}
