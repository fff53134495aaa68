// The map: 256 × 256 cells, a port each; the high byte is the row, the low byte the column.

const SIDE = 256;
// Each kind has a shape of its own: colour alone tells nothing apart.
const SHAPES = { changed: "◇", missing: "○", unexpected: "▲" };

// What all maps share: the part that is shown, and the port that is named.
const view = { x: 0, y: 0, side: SIDE, port: 80 };

// The colours of this theme. The style sheet has them.
const probe = make("i");
let colours = {};
function colour(name) {
  if (!colours[name]) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  return colours[name];
}

class PortMap {
  sheet = new OffscreenCanvas(SIDE, SIDE);
  cells = make("canvas", { className: "cells" });
  over = make("canvas");
  box = make("div", { className: "map", tabIndex: 0, role: "application" }, this.cells, this.over);

  constructor(name) {
    this.box.ariaLabel = `Ports of ${name}`;
    this.box.setAttribute("aria-describedby", "keys");
    this.figure = make("figure", {}, make("figcaption", { textContent: name }), this.box);
    this.listen();
  }

  // Draws the states in a square of this width at most.
  draw(states, marks, width) {
    // Whole device pixels for each cell, so that all are equally large.
    const ratio = devicePixelRatio, whole = SIDE * Math.max(1, Math.floor((width * ratio) / SIDE));
    this.width = whole / ratio;
    this.box.style.width = this.box.style.height = `${this.width}px`;
    for (const canvas of [this.cells, this.over]) canvas.width = canvas.height = whole;
    const image = new ImageData(SIDE, SIDE), pixels = new Uint32Array(image.data.buffer);
    const word = (name) => {
      const [red, green, blue] = colour(name).match(/\d+/g);
      return (255 << 24) | (blue << 16) | (green << 8) | red;
    };
    const of = STATES.map(word);
    // Every fourth diagonal of what was not scanned.
    states.forEach((state, port) => {
      const hatched = state === NOT_SCANNED && (port + (port >> 8)) % 4 === 0;
      pixels[port] = of[hatched ? SILENT : state];
    });
    this.sheet.getContext("2d").putImageData(image, 0, 0);
    const context = this.cells.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(this.sheet, view.x, view.y, view.side, view.side, 0, 0, whole, whole);
    this.drawOver(states, marks, ratio);
  }

  // What is over the cells: a glow, numbers of rows, marks and the port that is named.
  drawOver(states, marks, ratio) {
    const context = this.over.getContext("2d"), side = this.width, cell = side / view.side;
    context.scale(ratio, ratio);
    const each = (ports, act) => {
      for (const port of ports) {
        const [x, y] = [(port & 255) - view.x + 0.5, (port >> 8) - view.y + 0.5].map((value) => value * cell);
        if (x > 0 && y > 0 && x < side && y < side) act(x, y);
      }
    };
    // A lonely open cell of two pixels is easily overlooked.
    const open = numbers(1, PORTS - 1).filter((port) => states[port] === OPEN);
    context.fillStyle = colour("open");
    context.globalAlpha = 0.3;
    if (open.length < 500 && cell < 8) {
      each(open, (x, y) => {
        context.beginPath();
        context.arc(x, y, 4, 0, 7);
        context.fill();
      });
    }
    context.globalAlpha = 1;
    context.lineJoin = "round";
    const write = (text, x, y, name, size) => {
      context.font = `${size}px system-ui, sans-serif`;
      context.lineWidth = 3;
      context.strokeStyle = colour("ground");
      context.strokeText(text, x, y);
      context.fillStyle = colour(name);
      context.fillText(text, x, y);
    };
    context.textBaseline = "top";
    for (const row of [0, 0.25, 0.5, 0.75]) write((view.y + row * view.side) * SIDE + view.x, 3, row * side + 3, "muted", 10);
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const [kind, ports] of Object.entries(marks)) {
      const size = Math.max(ports.size > 60 ? 10 : 15, cell / 2), edge = (value) => Math.min(side - size / 2, Math.max(size / 2, value));
      each(ports, (x, y) => write(SHAPES[kind], edge(x), edge(y), kind, size));
    }
    context.strokeStyle = colour("text");
    context.lineWidth = 2;
    const half = Math.max(cell / 2, 4) + 1;
    if (this.hovered || document.activeElement === this.box) each([view.port], (x, y) => context.strokeRect(x - half, y - half, 2 * half, 2 * half));
    if (this.drag) context.strokeRect(...this.drag);
  }

  // Hovering names a port, a tap too; dragging zooms on a range.
  listen() {
    const { box } = this;
    let start = null;
    const port = ({ offsetX, offsetY }) => {
      const step = (value) => Math.min(view.side - 1, Math.max(0, Math.floor((value / this.width) * view.side)));
      return (view.y + step(offsetY)) * SIDE + view.x + step(offsetX);
    };
    box.onpointermove = (event) => {
      this.hovered = true;
      const { offsetX: x, offsetY: y } = event;
      const side = start && Math.max(Math.abs(x - start.x), Math.abs(y - start.y));
      this.drag = side > 6 ? [Math.min(x, start.x), Math.min(y, start.y), side, side] : null;
      show(port(event));
    };
    box.onpointerleave = () => {
      this.hovered = start = this.drag = null;
      repaint();
    };
    box.onpointerdown = (event) => {
      if (event.pointerType === "mouse") start = { x: event.offsetX, y: event.offsetY };
      show(port(event));
    };
    box.onpointerup = () => {
      const [x, y, side] = (this.drag || []).map((value) => (value / this.width) * view.side);
      if (this.drag) zoomTo(view.x + x, view.y + y, side);
      start = this.drag = null;
    };
    box.onkeydown = onKey;
    box.onfocus = box.onblur = repaint;
  }
}

function onKey(event) {
  const { port } = view, row = port & ~255;
  const moves = {
    ArrowLeft: port - 1, ArrowRight: port + 1, ArrowUp: port - SIDE, ArrowDown: port + SIDE,
    Home: row, End: row + 255, PageUp: port - 16 * SIDE, PageDown: port + 16 * SIDE,
  };
  const acts = { n: () => showOpen(1), p: () => showOpen(-1), "+": () => zoom(0.5), "-": () => zoom(2), 0: () => zoomTo(0, 0, SIDE) };
  const act = event.key in moves ? () => show(moves[event.key]) : acts[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
}

// Shows a square that has this one in it.
function zoomTo(x, y, side) {
  const shown = Math.min(SIDE, Math.max(8, 2 ** Math.ceil(Math.log2(side))));
  [view.x, view.y] = [x, y].map((from) => Math.min(SIDE - shown, Math.max(0, Math.round(from - (shown - side) / 2))));
  view.side = shown;
  repaint();
}

function zoom(factor) {
  const side = view.side * factor;
  zoomTo((view.port & 255) - side / 2, (view.port >> 8) - side / 2, side);
}
