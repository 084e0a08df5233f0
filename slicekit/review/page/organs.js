// The list of organs: colour, name, live volume, and which one the pen draws.

export class Organs {
  constructor(list) {
    this.list = list;
    this.chosen = 1;
    this.all = [];
    this.onChoose = () => {};
  }

  // With volumes, as of a case just opened, an organ that is there is chosen.
  show(all, volumes = null) {
    this.all = all;
    this.list.replaceChildren(...all.map(({ id, name, colour }, n) => {
      const entry = document.createElement("li");
      entry.tabIndex = 0;
      entry.dataset.id = id;
      entry.title = n < 9 ? `Draw ${name} (${n + 1})` : `Draw ${name}`;
      for (const [kind, text] of [["swatch", ""], ["name", name], ["ml", ""], ["key", n < 9 ? n + 1 : ""]]) {
        const part = Object.assign(document.createElement("span"), { className: kind });
        part.textContent = text;
        entry.append(part);
      }
      entry.querySelector(".swatch").style.background = colour;
      entry.addEventListener("click", () => this.choose(id));
      entry.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          this.choose(id);
        }
      });
      return entry;
    }));
    const fits = ({ id }) => volumes === null || volumes[id] > 0;
    const known = all.find((one) => one.id === this.chosen && fits(one)) ?? all.find(fits) ?? all[0];
    this.choose(known?.id ?? 1);
  }

  update(volumes) {
    for (const entry of this.list.children) {
      const ml = volumes[entry.dataset.id] ?? 0;
      const text = ml === 0 ? "–" : `${ml < 10 ? ml.toFixed(2) : ml.toFixed(1)} ml`;
      entry.querySelector(".ml").textContent = text;
    }
  }

  choose(id) {
    this.chosen = id;
    for (const entry of this.list.children) {
      const here = +entry.dataset.id === id;
      entry.classList.toggle("here", here);
      entry.setAttribute("aria-current", here);
      if (here) entry.scrollIntoView({ block: "nearest" });
    }
    this.onChoose(id, this.all.find((one) => one.id === id)?.colour);
  }

  chooseNth(n) {
    if (n <= this.all.length) this.choose(this.all[n - 1].id);
  }
}
