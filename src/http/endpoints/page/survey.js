// What is known of a host's ports: a state for each port of each address.

// In this order: what is not known, what is.
const STATES = ["not-asked", "silent", "not-scanned", "closed", "filtered", "open"];
const [, SILENT, NOT_SCANNED, CLOSED, FILTERED, OPEN] = STATES.keys();
// A name of which one address is closed and another filtered. Only comparisons know it.
const NOT_OPEN = 6;
const PORTS = 65536;
const codeOf = (state = "") => Math.max(0, STATES.indexOf(state.replace("_", "-")));
const words = code => (code === NOT_OPEN ? "closed or filtered" : STATES[code].replace("-", " "));

class Survey {
  addresses = new Map();
  services = new Map();
  leftOut = false;

  constructor(host) {
    this.host = host;
  }

  of(address) {
    const facts = this.addresses.get(address) || {
      address,
      states: new Uint8Array(PORTS),
      rows: new Map(),
      filteredBy: ""
    };
    this.addresses.set(address, facts);
    return facts;
  }

  // A record on one port.
  port(row) {
    const { states, rows } = this.of(row.address);
    states[row.port] = codeOf(row.state);
    rows.set(row.port, row);
    if (row.service) this.services.set(row.port, row.service);
  }

  // A record with runs of ports in the same state.
  runs({ address, runs }) {
    for (const [from, to, state] of runs) this.of(address).states.fill(codeOf(state), from, to + 1);
  }

  // All addresses as one: a port is open if it is on one of them, and unknown if it is
  // on one of the others.
  together(mixed = FILTERED) {
    const every = [...this.addresses.values()].map(({ states }) => states);
    if (this.leftOut) every.push(new Uint8Array(PORTS).fill(NOT_SCANNED));
    const both = (one, other) => {
      if (one === other || one === OPEN) return one;
      if (other === OPEN) return other;
      return Math.min(one, other) < CLOSED ? Math.min(one, other) : mixed;
    };
    const merge = (merged, states) => merged.map((state, port) => both(state, states[port]));
    return every.length ? every.reduce(merge) : new Uint8Array(PORTS);
  }

  // In an order that does not depend on which answered first.
  inOrder() {
    return [...this.addresses.values()].sort((one, other) => inOrder(one.address, other.address));
  }

  openPorts() {
    const states = this.together();
    return numbers(1, PORTS - 1).filter(port => states[port] === OPEN);
  }
}

// Runs [from, to, state] of equal states, of ports 1 to 65535.
function* runsOf(states) {
  for (let from = 1, port = 2; port <= PORTS; port++) {
    if (port < PORTS && states[port] === states[from]) continue;
    yield [from, port - 1, states[from]];
    from = port;
  }
}
