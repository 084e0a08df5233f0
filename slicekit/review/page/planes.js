// Three planes and 3D beside the slice, by NiiVue; a thinned copy is enough to look at.

const MOST = 160; // voxels along an axis
const [CORONAL, SAGITTAL, RENDER] = [1, 2, 4];
const AFTER_MS = 400;

export class Planes {
  constructor(canvas, box, button) {
    Object.assign(this, { canvas, box, button });
    this.viewer = null;
    this.opacity = 0.5;
    this.onGo = () => {};
  }

  get isOpen() {
    return !this.box.hidden;
  }

  async open(scan, preset, z) {
    this.box.hidden = false;
    this.button.classList.add("on");
    try {
      while (scan.loadedBytes < scan.image.byteLength) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      await this.load(scan, preset);
    } catch (fault) {
      this.close();
      const cure = "run make web if NiiVue is missing; the browser needs WebGL 2";
      throw Object.assign(new Error(`the three planes cannot be shown: ${fault.message}`), { cure });
    }
    this.goTo(z);
    document.body.dataset.planes = "shown";
  }

  close() {
    this.box.hidden = true;
    this.button.classList.remove("on");
  }

  async load(scan, preset) {
    const { Niivue } = await import("./vendor/niivue.js");
    this.scan = scan;
    this.steps = scan.about.shape.map((size) => Math.ceil(size / MOST));
    if (!this.viewer) {
      this.viewer = new Niivue({
        backColor: [0, 0, 0, 1], show3Dcrosshair: true, crosshairWidth: 0.6,
        isRadiologicalConvention: true, dragAndDropEnabled: false, isColorbar: false, logLevel: "error",
      });
      await this.viewer.attachToCanvas(this.canvas);
      this.viewer.setInterpolation(false);
      this.viewer.setCustomLayout([CORONAL, SAGITTAL, RENDER].map((sliceType, n) => (
        { sliceType, position: [0, n / 3, 1, 1 / 3] })));
    }
    const { slope, offset } = scan.about;
    const image = this.nifti(scan.image, Int16Array, 4, slope, offset);
    const labels = this.nifti(scan.labels, Int16Array, 4, 1, 0);
    const urls = [image, labels].map((buffer) => URL.createObjectURL(new Blob([buffer])));
    try {
      await this.viewer.loadVolumes([
        { url: urls[0], name: "scan.nii", colormap: "gray", cal_min: preset.low, cal_max: preset.high },
        { url: urls[1], name: "labels.nii", opacity: this.opacity },
      ]);
    } finally {
      urls.forEach((url) => URL.revokeObjectURL(url));
    }
    this.colour();
    this.viewer.setSliceType(this.viewer.sliceTypeMultiplanar);
    this.viewer.onLocationChange = (place) => {
      if (this.quiet) return;
      this.onGo(Math.min(scan.depth - 1, Math.round(place.vox[2] * this.steps[0])));
    };
  }

  colour() {
    const table = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: [""] };
    for (const { id, colour, name } of this.scan.organs) {
      ["R", "G", "B"].forEach((part, n) => {
        table[part].push(parseInt(colour.slice(1 + 2 * n, 3 + 2 * n), 16));
      });
      table.A.push(255);
      table.I.push(id);
      table.labels.push(name);
    }
    this.viewer.volumes[1].setColormapLabel(table);
    this.viewer.updateGLVolume();
  }

  // After a stroke: soon, and once for several.
  refreshSoon() {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.refresh(), AFTER_MS);
  }

  setWindow({ low, high }) {
    const image = this.isOpen && this.viewer?.volumes[0];
    if (!image) return;
    Object.assign(image, { cal_min: low, cal_max: high });
    this.viewer.updateGLVolume();
  }

  setOpacity(share) {
    this.opacity = share;
    if (this.isOpen && this.viewer?.volumes[1]) this.viewer.setOpacity(1, share);
  }

  refresh() {
    if (!this.isOpen || !this.viewer?.volumes[1]) return;
    this.viewer.volumes[1].img.set(this.thin(this.scan.labels, Int16Array));
    this.colour();
  }

  goTo(z) {
    if (!this.isOpen || !this.viewer?.volumes.length) return;
    this.quiet = true;
    this.viewer.scene.crosshairPos[2] = (z + 0.5) / this.scan.depth;
    this.viewer.drawScene();
    this.quiet = false;
  }

  thin(array, Kind) {
    const [depth, rows, columns] = this.scan.about.shape;
    const [sz, sy, sx] = this.steps;
    const shape = [Math.ceil(depth / sz), Math.ceil(rows / sy), Math.ceil(columns / sx)];
    const made = new Kind(shape[0] * shape[1] * shape[2]);
    let n = 0;
    for (let z = 0; z < depth; z += sz) {
      for (let y = 0; y < rows; y += sy) {
        const row = (z * rows + y) * columns;
        for (let x = 0; x < columns; x += sx, n += 1) made[n] = array[row + x];
      }
    }
    this.shape = shape;
    return made;
  }

  // A NIfTI-1 file of a thinned copy, lying where the scan lies.
  nifti(array, Kind, type, slope, offset) {
    const values = this.thin(array, Kind);
    const buffer = new ArrayBuffer(352 + values.byteLength);
    const head = new DataView(buffer);
    const [depth, rows, columns] = this.shape;
    const { affine } = this.scan.about;
    head.setInt32(0, 348, true);
    [3, columns, rows, depth, 1, 1, 1, 1].forEach((size, n) => head.setInt16(40 + 2 * n, size, true));
    head.setInt16(70, type, true);
    head.setInt16(72, 8 * values.BYTES_PER_ELEMENT, true);
    const spacing = this.scan.about.spacing_mm.map((step, n) => step * this.steps[n]);
    [1, spacing[2], spacing[1], spacing[0]].forEach((step, n) => head.setFloat32(76 + 4 * n, step, true));
    head.setFloat32(108, 352, true);
    head.setFloat32(112, slope, true);
    head.setFloat32(116, offset, true);
    head.setUint8(123, 2);
    head.setInt16(254, 1, true);
    for (let row = 0; row < 3; row += 1) {
      const line = [2, 1, 0].map((axis) => affine[row][axis] * this.steps[axis]);
      [...line, affine[row][3]].forEach((value, n) => {
        head.setFloat32(280 + 16 * row + 4 * n, value, true);
      });
    }
    [0x6e, 0x2b, 0x31, 0].forEach((byte, n) => head.setUint8(344 + n, byte));
    new Uint8Array(buffer, 352).set(new Uint8Array(values.buffer));
    return buffer;
  }
}
