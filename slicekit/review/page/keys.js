// Keys, except where somebody types text, and while a dialog is open.

export function listen({ ready, keys, withControl, digit, leave }) {
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    const { target } = event;
    const types = /^(TEXTAREA|SELECT)$/.test(target.tagName)
      || (target.tagName === "INPUT" && target.type === "text");
    const control = event.ctrlKey || event.metaKey;
    const letter = event.key.toLowerCase();
    let act = null;
    if (control && event.altKey) act = null;
    else if (control) act = withControl[event.shiftKey ? `shift ${letter}` : letter];
    else if (types && event.key === "Escape") act = leave;
    else if (types || event.altKey) act = null;
    else if (/^[1-9]$/.test(event.key)) act = () => digit(+event.key);
    else act = keys[event.key] ?? keys[letter];
    if (control && letter === "z" && types) act = null; // a text field undoes and redoes its own
    if (act) {
      event.preventDefault();
      if (ready()) act();
    }
  });
}
