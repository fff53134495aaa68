// Small words of the page. Whatever a host or the service says becomes text, never HTML.

// `ui.start` is the element with this id.
const ui = new Proxy({}, { get: (_, id) => document.getElementById(id) });
const all = selector => [...document.querySelectorAll(selector)];

// An element with these properties and children.
function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function say(...parts) {
  ui.status.textContent = parts.filter(Boolean).join(" ");
}

const count = number => number.toLocaleString("en");
const several = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
const inOrder = (one, other) => one.localeCompare(other, "en", { numeric: true });
const span = (from, to) => (from === to ? `${from}` : `${from}-${to}`);
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);
