// Keys, except where somebody types text.

export function listen({ ready, keys, withControl, digit }) {
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    const types = /^(TEXTAREA|SELECT)$/.test(target.tagName)
      || (target.tagName === "INPUT" && target.type === "text");
    const control = event.ctrlKey || event.metaKey;
    const letter = event.key.toLowerCase();
    let act = null;
    if (control) act = withControl[letter];
    else if (types || event.altKey) act = null;
    else if (/^[1-9]$/.test(event.key)) act = () => digit(+event.key);
    else act = keys[event.key] ?? keys[letter];
    if (control && letter === "z" && types) act = null; // a text field undoes its own
    if (act) {
      event.preventDefault();
      if (ready()) act();
    }
  });
}
