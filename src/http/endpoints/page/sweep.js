// The tables: many hosts, or one host seen from many vantages. A row for each, and a column
// for each port.

let sweep;
// A browser is slow with more.
const MOST_COLUMNS = 200;
const SIGNS = { open: "●", filtered: "▬", closed: "·", "not-open": "·" };

const newTable = () =>
  (sweep = { records: [], rows: {}, ports: new Set(), services: new Map(), ended: false });

function rowOf(table, name) {
  return (table.rows[name] ||= { states: {}, marks: {}, notes: [], complete: true });
}

// Open on one address is open, and filtered on one more than closed on another.
function better({ states }, port, state) {
  if (codeOf(state) > codeOf(states[port])) states[port] = state;
}

async function sweepHosts(signal) {
  const table = newTable();
  let drawn = 0;
  say("Sweeping …");
  await call("/sweep", parameters("sweep"), signal, record => {
    const { type, host, port, state, service, summary } = record;
    if (type === "progress") return showProgress(record);
    table.records.push(record);
    if (type === "port") {
      better(rowOf(table, host), port, state);
      table.ports.add(port);
      if (service) table.services.set(port, service);
    }
    if (type === "host") takeHost(table, record);
    if (type === "end") {
      table.ended = true;
      showSummary(summary, Object.keys(table.rows).length);
    }
    // A large sweep has thousands of records a second.
    if (type === "end" || performance.now() > drawn + 300) {
      drawn = performance.now();
      showSweep();
    }
  });
}

// What is to be said of a host besides its ports.
function takeHost(table, { host, complete, detail, reason, accepts_everything: all, ...lists }) {
  const row = rowOf(table, host);
  row.complete = complete;
  row.notes.push(...[detail || reason, all && "accepts every connection"].filter(Boolean));
  for (const kind of ["unexpected", "missing"]) {
    for (const port of lists[kind] || []) {
      row.marks[port] = kind;
      table.ports.add(port);
    }
  }
}

function showSummary(summary, rows) {
  const { complete, reason, host_count: hosts, open, closed, filtered, elapsed_ms: elapsed } = summary;
  say(
    `${several(open, "open port")} on ${several(hosts, "host")}, in ${(elapsed / 1000).toFixed(2)} s;`,
    `${count(closed)} closed, ${count(filtered)} filtered, ${count(summary.not_scanned)} not scanned.`,
    complete && hosts > rows && `Nothing is open on the ${count(hosts - rows)} hosts without a row.`,
    !complete && `Incomplete: ${reason || "see the notes"}.`
  );
}

function sweepRows() {
  const ports = [...sweep.ports].sort((one, other) => one - other);
  const cells = ({ states, marks, notes, complete }) => [
    ...ports.map(port => {
      const state = states[port] || (complete && sweep.ended ? "not-open" : "not-known");
      return marks[port] ? `${state} ${marks[port]}` : state;
    }),
    notes.join("; ")
  ];
  const names = Object.keys(sweep.rows).sort(inOrder);
  return [["host", ...ports, "notes"], ...names.map(name => [name, ...cells(sweep.rows[name])])];
}

const sweepOpen = () =>
  Object.entries(sweep.rows).flatMap(([name, { states }]) =>
    Object.keys(states)
      .filter(port => states[port] === "open")
      .map(port => `${name.includes(":") ? `[${name}]` : name}:${port}`)
  );

function showSweep() {
  const [head, ...rows] = sweepRows();
  const narrow = row => (row.length > MOST_COLUMNS ? [...row.slice(0, MOST_COLUMNS), row.at(-1)] : row);
  fillTable("heat", narrow(head), rows.map(narrow), (text, column, name) => {
    if (column === "notes") return make("td", { textContent: text });
    const [state, kind] = text.split(" "),
      said = text.replace("-", " ");
    const title = [name, column, sweep.services.get(column), said].filter(Boolean).join(" · ");
    const textContent = `${SIGNS[state] || "?"}${SHAPES[kind] || ""}`;
    return make(
      "td",
      { className: text, title },
      make("span", { role: "img", ariaLabel: said, textContent })
    );
  });
}
