// The list of cases, each with its verdict.

export function showCases(list, cases, here, open) {
  list.replaceChildren(...cases.map((one) => {
    const entry = document.createElement("li");
    const button = document.createElement("button");
    const mark = Object.assign(document.createElement("span"), { className: "mark" });
    const name = Object.assign(document.createElement("span"), { className: "name" });
    name.textContent = one.name;
    button.className = one.verdict.replace(" ", "-");
    button.classList.toggle("here", one.index === here);
    button.classList.toggle("faulty", Boolean(one.fault));
    if (one.index === here) button.setAttribute("aria-current", "true");
    button.title = one.fault ? `${one.name}: ${one.fault.cause}; ${one.fault.cure}`
      : `${one.name}: ${one.verdict}${one.remark ? `, ${one.remark}` : ""}`;
    button.append(mark, name);
    button.addEventListener("click", () => open(one.index));
    entry.append(button);
    return entry;
  }));
  list.querySelector(".here")?.scrollIntoView({ block: "nearest" });
}
