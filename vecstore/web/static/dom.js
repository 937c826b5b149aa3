// Building the page. Text only ever goes in as text: a picture called `<img onerror=...>` is just a name.

const BOOLEAN = new Set(["hidden", "disabled", "checked", "required"]);

/** Makes an element. Properties beginning with `on` are listeners; null and undefined children are left out. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (BOOLEAN.has(key)) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** A path as a person may see it: what would not show, or would turn the text around, is escaped. */
export function shown(path) {
  return path.replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    const code = character.codePointAt(0);
    const isByte = code >= 0xdc80 && code <= 0xdcff; // of a name that is no UTF-8
    return isByte ? `\\x${(code - 0xdc00).toString(16)}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

export function baseName(path) {
  return shown(path.slice(path.lastIndexOf("/") + 1) || path);
}

export function count(n, one, many = `${one}s`) {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

const toasts = document.getElementById("toasts");
const alerts = document.getElementById("alerts");

/** Says something in passing; `isProblem` says it at once and lets it stay longer. */
export function say(text, isProblem = false) {
  const note = element("p", { class: isProblem ? "toast problem" : "toast" }, text);
  (isProblem ? alerts : toasts).append(note);
  setTimeout(() => note.remove(), isProblem ? 12000 : 5000);
}
