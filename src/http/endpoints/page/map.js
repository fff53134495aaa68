// The map: 256 × 256 cells, a port each; the high byte is the row, the low byte the column.
// Zoomed, it is a smaller square of as many successive ports as that has cells.

const SIDE = 256;
// Each kind has a shape of its own: colour alone tells nothing apart.
const SHAPES = { changed: "◇", missing: "○", unexpected: "▲" };

// What all maps share: the first port that is shown, the side of the square, and the port
// that is named.
const view = { start: 0, side: SIDE, port: 80 };

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
    const ratio = devicePixelRatio,
      whole = SIDE * Math.max(1, Math.floor((width * ratio) / SIDE));
    this.width = whole / ratio;
    this.box.style.width = this.box.style.height = `${this.width}px`;
    for (const canvas of [this.cells, this.over]) canvas.width = canvas.height = whole;
    const { start, side } = view,
      image = new ImageData(side, side),
      pixels = new Uint32Array(image.data.buffer);
    const word = name => {
      const [red, green, blue] = colour(name).match(/\d+/g);
      return (255 << 24) | (blue << 16) | (green << 8) | red;
    };
    const of = STATES.map(word);
    // Every fourth diagonal of what was not scanned.
    states.subarray(start, start + side * side).forEach((state, cell) => {
      const hatched = state === NOT_SCANNED && (cell + Math.floor(cell / side)) % 4 === 0;
      pixels[cell] = of[hatched ? SILENT : state];
    });
    const sheet = new OffscreenCanvas(side, side),
      context = this.cells.getContext("2d");
    sheet.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(sheet, 0, 0, whole, whole);
    this.drawOver(states, marks, ratio);
  }

  // What is over the cells: a glow, numbers of rows, marks and the port that is named.
  drawOver(states, marks, ratio) {
    const context = this.over.getContext("2d"),
      side = this.width,
      cell = side / view.side;
    context.scale(ratio, ratio);
    const each = (ports, act) => {
      for (const port of ports) {
        const index = port - view.start,
          row = Math.floor(index / view.side);
        if (row >= 0 && row < view.side) act(((index % view.side) + 0.5) * cell, (row + 0.5) * cell);
      }
    };
    // A lonely open cell of two pixels is easily overlooked.
    const open = numbers(1, PORTS - 1).filter(port => states[port] === OPEN);
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
    context.fillStyle = colour("panel");
    for (let line = 1; cell >= 16 && line < view.side; line++) {
      context.fillRect(line * cell, 0, 1, side);
      context.fillRect(0, line * cell, side, 1);
    }
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
    for (const row of [0, 0.25, 0.5, 0.75])
      write(view.start + row * view.side ** 2, 3, row * side + 3, "muted", 10);
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const [kind, ports] of Object.entries(marks)) {
      const size = Math.max(ports.size > 60 ? 10 : 15, cell / 2),
        edge = value => Math.min(side - size / 2, Math.max(size / 2, value));
      each(ports, (x, y) => write(SHAPES[kind], edge(x), edge(y), kind, size));
    }
    context.strokeStyle = colour("text");
    context.lineWidth = 2;
    const half = Math.max(cell / 2, 4) + 1;
    if (this.hovered || document.activeElement === this.box)
      each([view.port], (x, y) => context.strokeRect(x - half, y - half, 2 * half, 2 * half));
    if (this.drag) {
      const [first, last] = this.drag.map(port => Math.floor((port - view.start) / view.side));
      context.strokeRect(1, first * cell, side - 2, (last - first + 1) * cell);
    }
  }

  // Hovering names a port, a tap too; dragging zooms on a range.
  listen() {
    const { box } = this;
    let begun = null;
    const port = ({ offsetX, offsetY }) => {
      const step = value =>
        Math.min(view.side - 1, Math.max(0, Math.floor((value / this.width) * view.side)));
      return view.start + step(offsetY) * view.side + step(offsetX);
    };
    box.onpointermove = event => {
      this.hovered = true;
      const ends = [begun, port(event)].sort((one, other) => one - other);
      this.drag = begun !== null && ends[1] - ends[0] >= view.side ? ends : null;
      show(port(event));
    };
    box.onpointerleave = () => {
      this.hovered = begun = this.drag = null;
      repaint();
    };
    box.onpointerdown = event => {
      if (event.pointerType === "mouse") begun = port(event);
      show(port(event));
    };
    box.onpointerup = () => {
      if (this.drag) zoomTo(...this.drag);
      begun = this.drag = null;
    };
    box.onkeydown = onKey;
    box.onfocus = box.onblur = repaint;
  }
}

function onKey(event) {
  const { port, side } = view,
    row = port - (port % side);
  const moves = {
    ArrowLeft: port - 1,
    ArrowRight: port + 1,
    ArrowUp: port - side,
    ArrowDown: port + side,
    Home: row,
    End: row + side - 1,
    PageUp: port - 16 * side,
    PageDown: port + 16 * side
  };
  const acts = {
    n: () => showOpen(1),
    p: () => showOpen(-1),
    "+": () => zoom(0.5),
    "-": () => zoom(2),
    0: () => zoomTo(0, PORTS - 1)
  };
  const act = event.key in moves ? () => show(moves[event.key]) : acts[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
}

// Shows the smallest square that has these ports in it.
function zoomTo(from, to) {
  for (let side = 8; side <= SIDE; side *= 2) {
    const start = Math.min(PORTS - side * side, from - (from % side));
    if (to >= start + side * side) continue;
    Object.assign(view, { start, side });
    return repaint();
  }
}

function zoom(factor) {
  const side = Math.min(SIDE, Math.max(8, view.side * factor));
  const middle = view.port - (view.port % side) - (side * side) / 2;
  Object.assign(view, { side, start: Math.min(PORTS - side * side, Math.max(0, middle)) });
  repaint();
}
