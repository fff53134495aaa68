// The view of many hosts: a table with a row for each, and a column for each port.

let sweep;
// A browser is slow with more.
const MOST_COLUMNS = 200;
const SIGNS = { open: "●", filtered: "▬", "not-scanned": "?" };

async function sweepHosts(signal) {
  const mine = (sweep = { records: [], hosts: {}, ports: new Set(), services: new Map() });
  const of = (host) => (mine.hosts[host] ||= { states: {}, marks: {}, notes: [] });
  let drawn = 0;
  say("Sweeping …");
  await call("/sweep", parameters("sweep"), signal, (record) => {
    const { type, host, port, state, service, detail, reason } = record;
    if (type === "progress") return showProgress(record);
    mine.records.push(record);
    if (type === "port") {
      const { states } = of(host);
      mine.ports.add(port);
      // Open on one address is open.
      if (states[port] !== "open") states[port] = state;
      if (service) mine.services.set(port, service);
    }
    if (type === "host") {
      const { marks, notes } = of(host);
      for (const kind of ["unexpected", "missing"]) {
        for (const port of record[kind] || []) {
          marks[port] = kind;
          mine.ports.add(port);
        }
      }
      notes.push(...[detail || reason, record.accepts_everything && "accepts every connection"].filter(Boolean));
    }
    // A large sweep has thousands of records a second.
    if (type === "end" || performance.now() > drawn + 300) {
      drawn = performance.now();
      showSweep();
    }
    if (type === "end") {
      const { complete, reason, host_count: hosts, open, closed, filtered, not_scanned: left, elapsed_ms: elapsed } = record.summary;
      say(`${several(open, "open port")} on ${several(hosts, "host")}, in ${(elapsed / 1000).toFixed(2)} s; ${count(closed)} closed, ${count(filtered)} filtered, ${count(left)} not scanned.`, !complete && `Incomplete: ${reason || "see the notes"}.`);
    }
  });
}

function sweepRows() {
  const ports = [...sweep.ports].sort((one, other) => one - other);
  const hosts = Object.keys(sweep.hosts).sort(inOrder);
  const cells = ({ states, marks, notes }) => [...ports.map((port) => [states[port], marks[port]].filter(Boolean).join(" ")), notes.join("; ")];
  return [["host", ...ports, "notes"], ...hosts.map((host) => [host, ...cells(sweep.hosts[host])])];
}

const sweepOpen = () => Object.entries(sweep.hosts).flatMap(([host, { states }]) => Object.keys(states).filter((port) => states[port] === "open").map((port) => `${host.includes(":") ? `[${host}]` : host}:${port}`));

function showSweep() {
  const [head, ...rows] = sweepRows();
  const narrow = (row) => (row.length > MOST_COLUMNS ? [...row.slice(0, MOST_COLUMNS), row.at(-1)] : row);
  fillTable("heat", narrow(head), rows.map(narrow), (text, column, host) => {
    if (column === "notes") return make("td", { textContent: text });
    const [state, kind] = text.split(" "), known = state || "not open";
    const cell = make("td", { className: `${state} ${kind || ""}`, title: [`${host} ${column}`, sweep.services.get(column), known, kind].filter(Boolean).join(" · ") });
    cell.append(make("span", { role: "img", ariaLabel: text || known, textContent: `${SIGNS[state] || "·"}${SHAPES[kind || state] || ""}` }));
    return cell;
  });
}
