// The row of tools: which one, pen size, what may be painted over, how dense labels are.

const MOST = 60;

const el = (id) => document.getElementById(id);

export class Tools {
  constructor(editor, view) {
    Object.assign(this, { editor, view });
    this.buttons = [...document.querySelectorAll("[data-tool]")];
    for (const button of this.buttons) {
      button.addEventListener("click", () => this.choose(button.dataset.tool));
    }
    el("pen").addEventListener("input", () => this.setPen(+el("pen").value));
    el("protect").addEventListener("change", () => { editor.protect = el("protect").checked; });
    el("opacity").addEventListener("input", () => {
      view.opacity = el("opacity").value / 100;
      if (view.scan) view.paintTint();
    });
    this.choose("draw");
  }

  choose(tool) {
    this.editor.tool = tool;
    for (const button of this.buttons) {
      button.classList.toggle("on", button.dataset.tool === tool);
      button.setAttribute("aria-pressed", button.dataset.tool === tool);
    }
    this.editor.hover(this.editor.at);
  }

  setPen(size) {
    this.editor.size = Math.min(MOST, Math.max(1, size));
    el("pen").value = el("pen-size").textContent = this.editor.size;
    this.editor.hover(this.editor.at);
  }

  grow(by) {
    this.setPen(this.editor.size + by);
  }
}
