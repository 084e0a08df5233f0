// Through which intensities a scan is looked at: presets, and one of your own.

const OWN = "own";

export class Windows {
  constructor(select) {
    this.select = select;
    this.onChange = () => {};
    this.onChosen = () => {};
    select.addEventListener("change", () => {
      this.chosen = select.value === OWN ? this.own : this.presets[select.value];
      this.onChange(this.chosen, true);
      this.onChosen();
    });
  }

  show(presets) {
    this.presets = presets;
    this.own = null;
    [this.chosen] = presets;
    this.select.replaceChildren(...presets.map((one, n) => new Option(one.name, n)));
    this.onChange(this.chosen, true);
  }

  // To the right for more contrast, upwards for a brighter picture; in pixels.
  drag(right, down, done = false) {
    if (!this.chosen) return;
    const { low, high } = this.chosen;
    const width = Math.max((high - low) * Math.exp(-right / 250), 1e-6);
    const level = (low + high) / 2 + (down / 400) * width;
    this.own = { name: OWN, low: level - width / 2, high: level + width / 2 };
    this.chosen = this.own;
    const text = `own ${+this.own.low.toPrecision(3)} … ${+this.own.high.toPrecision(3)}`;
    let option = this.select.querySelector(`option[value="${OWN}"]`);
    if (!option) this.select.append(option = new Option(text, OWN));
    option.textContent = text;
    this.select.value = OWN;
    this.onChange(this.own, done);
  }
}
