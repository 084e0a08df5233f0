// The versions that were saved: when, what changed, and one of them shown again.

const MOST_CHANGES = 3;

const ml = (value) => (Math.abs(value) < 10 ? value.toFixed(2) : value.toFixed(1));

// Which volumes differ from those of the version before, the largest change first.
export function changes(now, before) {
  const names = [...new Set([...Object.keys(now), ...Object.keys(before)])];
  return names
    .map((name) => ({ name, by: (now[name] ?? 0) - (before[name] ?? 0) }))
    .filter(({ by }) => Math.abs(by) >= 0.005)
    .sort((one, other) => Math.abs(other.by) - Math.abs(one.by));
}

export class Versions {
  constructor(dialog, list) {
    Object.assign(this, { dialog, list });
    this.onRestore = () => {};
    dialog.addEventListener("click", (event) => { // beside it
      if (event.target === dialog) dialog.close();
    });
  }

  async open(scan) {
    const { versions } = await scan.api.versions();
    if (versions.length) {
      this.list.replaceChildren(...versions.map((one, n) => this.entry(one, versions[n + 1], scan)));
    } else {
      const none = document.createElement("li");
      none.textContent = "Nothing was saved yet. Save writes the first one.";
      this.list.replaceChildren(none);
    }
    if (!this.dialog.open) this.dialog.showModal();
  }

  entry(one, before, scan) {
    const entry = document.createElement("li");
    const text = document.createElement("div");
    const button = document.createElement("button");
    const isHere = scan.state.version === one.number;
    const parts = [["b", `${one.number}`], ["span", when(one.at)], ["small", one.why],
      ["small", this.summary(one, before)]];
    for (const [kind, content] of parts) {
      text.append(Object.assign(document.createElement(kind), { textContent: content }));
    }
    text.title = Object.entries(one.volumes_ml).map(([name, value]) => `${name} ${ml(value)} ml`)
      .join("\n");
    button.textContent = isHere ? "Shown now" : "Restore";
    button.disabled = isHere || !one.complete;
    button.title = one.complete ? `Show version ${one.number} again`
      : "Its note is missing, so what was drawn is not known; open it with --labels";
    button.addEventListener("click", () => {
      this.dialog.close();
      this.onRestore(one.number);
    });
    entry.append(text, button);
    return entry;
  }

  summary(one, before) {
    const shown = Object.values(one.volumes_ml).filter((value) => value > 0).length;
    const organs = `${shown} organ${shown === 1 ? "" : "s"}, ${one.drawn} drawn slice${one.drawn === 1 ? "" : "s"}`;
    const found = changes(one.volumes_ml, before?.volumes_ml ?? {});
    if (!one.complete) return "volumes are not known";
    if (!before) return organs;
    const told = found.slice(0, MOST_CHANGES)
      .map(({ name, by }) => `${name} ${by > 0 ? "+" : "−"}${ml(Math.abs(by))} ml`);
    if (found.length > MOST_CHANGES) told.push(`${found.length - MOST_CHANGES} more`);
    return `${organs}; ${told.length ? told.join(", ") : "same volumes"}`;
  }
}

function when(at) {
  const date = new Date(at ?? NaN);
  if (Number.isNaN(date.getTime())) return "at an unknown time";
  return date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
