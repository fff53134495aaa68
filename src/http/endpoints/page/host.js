// The view of one host: a scan, and the watch that goes on from it.

let survey = new Survey("no host yet");
let report = null;
let maps = new Map();
const marks = { changed: new Set(), missing: new Set(), unexpected: new Set() };

// More lines than these nobody reads.
const MOST_LINES = 500;

// Draws before the next frame, once, however much has come.
let painting = 0;
function repaint() {
  painting ||= requestAnimationFrame(() => {
    painting = 0;
    if (shown === "host") draw();
  });
}

function draw() {
  const addresses = survey.inOrder(),
    isSeveral = addresses.length > 1;
  ui.merging.hidden = !isSeveral;
  let wanted = addresses.map(({ address, states }) => [address, states]);
  if (isSeveral && ui.merged.checked) wanted = [["all addresses", survey.together()]];
  if (!wanted.length) wanted = [[survey.host, new Uint8Array(PORTS)]];
  if (`${[...maps.keys()]}` !== `${wanted.map(([name]) => name)}`) {
    maps = new Map(wanted.map(([name]) => [name, new PortMap(name)]));
    ui.maps.replaceChildren(...[...maps.values()].map(({ figure }) => figure));
  }
  // A map alone is as large as fits on the screen, with the rest of the view beside it.
  const width = ui.host.clientWidth,
    beside = width > 700 ? 300 : 0;
  const room = Math.min(width - beside, Math.max(SIDE, innerHeight - 150));
  for (const [name, states] of wanted)
    maps.get(name).draw(states, marks, wanted.length > 1 ? Math.min(room, 400) : room);
  const counts = new Uint32Array(STATES.length);
  for (const { states } of addresses) for (const state of states) counts[state]++;
  for (const [index, entry] of [...ui.legend.children].entries()) {
    const number = marks[entry.className]?.size ?? counts[codeOf(entry.className)];
    entry.querySelector("b").textContent = count(number);
    entry.hidden = index > 3 && !number;
  }
}

// Names a port: by hovering, by keys, by a tap.
function show(port) {
  view.port = Math.min(PORTS - 1, Math.max(0, port));
  const { start, side } = view,
    row = view.port - (view.port % side);
  // The rows that are shown follow it.
  view.start = Math.max(0, Math.min(row, Math.max(start, row + side - side * side)));
  ui.readout.textContent = survey.inOrder().map(describe).join("\n") || view.port;
  repaint();
}

function describe(facts) {
  const { port } = view,
    { address, states, rows } = facts,
    row = rows.get(port),
    state = states[port];
  const parts = [
    port + named(port),
    words(state),
    reasonOf(facts, port),
    row?.rtt_ms && `${row.rtt_ms} ms`,
    row?.at && `since ${timeOf(row.at)}`
  ];
  for (const kind in marks) if (marks[kind].has(port)) parts.push(kind);
  if (survey.addresses.size > 1) parts.unshift(address);
  return parts.filter(Boolean).join(" · ");
}

const named = port => (survey.services.has(port) ? ` ${survey.services.get(port)}` : "");

// Why a port is in its state, as far as the service says.
function reasonOf({ states, rows, filteredBy }, port) {
  const row = rows.get(port),
    state = states[port];
  if (row?.reason && codeOf(row.state) === state) return row.reason;
  return { [NOT_SCANNED]: report?.reason, [CLOSED]: "conn-refused", [FILTERED]: filteredBy }[state] || "";
}

function showOpen(step) {
  const open = survey.openPorts();
  if (step < 0) open.reverse();
  if (open.length) show(open.find(port => (port - view.port) * step > 0) ?? open[0]);
}

async function scanHost(signal) {
  const params = parameters("host");
  survey = new Survey(ui.domain.value.trim().toLowerCase());
  report = null;
  zoomTo(0, PORTS - 1);
  ui.readout.textContent = "";
  for (const kind in marks) marks[kind].clear();
  for (const section of all("#host section, #listing")) section.hidden = true;
  params.set("states", "true");
  say(`Scanning ${survey.host} …`);
  await call("/open-ports", params, signal, record => {
    if (record.type === "port") survey.port(record);
    if (record.type === "states") survey.runs(record);
    if (record.type === "progress") showProgress(record);
    if (record.type === "end") ({ report } = record);
    repaint();
  });
  for (const { address, ports = [], filtered_by: reasons = {} } of report.addresses) {
    survey.of(address).filteredBy = Object.keys(reasons).join(" or ");
    for (const row of ports) survey.port({ ...row, address });
  }
  survey.leftOut = Boolean(report.addresses_left_out);
  if ("as_expected" in report) showExpected();
  showDrift();
  keep(survey);
  showTable();
  const { complete, reason, elapsed_ms: elapsed, open_ports: open, addresses } = report;
  const everything = addresses
    .filter(facts => facts.accepts_everything)
    .map(({ address }) => `${address} accepts every connection: its open ports mean little.`);
  say(
    `${several(open.length, "open port")} on ${survey.host}, in ${(elapsed / 1000).toFixed(2)} s.`,
    !complete && `Incomplete: ${reason}.`,
    ...everything
  );
}

function showProgress({ asked, total, waiting, pass, left_ms: left }) {
  ui.progress.value = total ? asked / total : 0;
  const parts = [
    `${count(asked)}${total ? ` of ${count(total)}` : ""} asked`,
    `${count(waiting)} wait`,
    pass > 1 && `pass ${pass}`,
    left && `about ${Math.ceil(left / 1000)} s left`
  ];
  ui.pace.textContent = parts.filter(Boolean).join(" · ");
}

// Lines of a list; those of a kind have its colour.
function fill(list, lines) {
  list.replaceChildren(
    ...lines.slice(0, MOST_LINES).map(([textContent, className]) => make("li", { textContent, className }))
  );
  if (lines.length > MOST_LINES)
    list.append(make("li", { textContent: `and ${lines.length - MOST_LINES} more` }));
  list.parentElement.hidden = false;
}

function showExpected() {
  const lines = [];
  for (const kind of ["unexpected", "missing"]) {
    for (const port of report[kind] || []) {
      marks[kind].add(port);
      lines.push([`${SHAPES[kind]} ${port}${named(port)} ${kind}`, kind]);
    }
  }
  if (!lines.length)
    lines.push([
      report.as_expected
        ? "✓ Exactly what ought to be open is."
        : "? Nothing unexpected was found, but not all was scanned.",
      ""
    ]);
  fill(ui.expected, lines);
}

function showDrift() {
  const last = lastRun(survey.host);
  if (!last) return fill(ui.drift, [["This is the first run against this host in this browser.", ""]]);
  const drift = compare(last, survey);
  for (const { port } of drift.changes) marks.changed.add(port);
  const head = `${several(drift.changes.length, "change")} since ${new Date(last.at).toLocaleString()}; ${several(drift.compared, "port")} compared`;
  fill(ui.drift, [[head, ""], ...linesOf(drift).map(line => [line, line[0] === "?" ? "" : "changed"])]);
}

const timeOf = at => `${new Date(at).toLocaleTimeString("en-GB")}${at.slice(19, 23)}`;

// Watches, from the states that are known on.
async function watchHost(signal) {
  let changes = 0;
  say(`Watching ${survey.host} …`);
  fill(ui.changes, []);
  await call("/watch", parameters("watch"), signal, record => {
    const { type, rounds, missed, port, from, to, address, at } = record;
    if (type === "states") record.states.filter(({ state }) => state).forEach(row => survey.port(row));
    if (type === "progress")
      ui.pace.textContent = `${several(rounds, "round")}, ${several(changes, "change")}${missed ? `, ${count(missed)} probes not sent in time` : ""}`;
    if (type === "end") say(`The watch has ended: ${record.outcome}.`);
    if (type === "change") {
      changes++;
      survey.port({ ...record, state: to });
      marks.changed.add(port);
      const where = survey.addresses.size > 1 ? ` on ${address}` : "",
        time = make("time", { dateTime: at, textContent: timeOf(at) });
      const line = make(
        "li",
        { className: "changed" },
        time,
        ` ${to === "open" ? "+" : from === "open" ? "−" : "~"} ${port}${named(port)}${where} ${from || "unknown"} → ${to}`
      );
      ui.changes.prepend(line);
      if (changes > MOST_LINES) ui.changes.lastChild.remove();
      showTable();
    }
    repaint();
  });
}
