// Since last time: the same comparison as `open-ports diff`. A port that was not scanned
// in both runs never counts as changed.

const KEPT = "open-ports:last:";

function compare(before, now) {
  const [then, later] = [before, now].map(({ addresses }) => [...addresses.keys()].sort());
  const drift = { changes: [], gaps: [], compared: 0 };
  const same = `${then}` === `${later}`;
  const one = (of, address, into = drift) =>
    comparePorts(into, address, before.of(of).states, now.of(of).states);
  if (same) {
    for (const address of later) one(address, later.length > 1 && address);
    if (before.leftOut || now.leftOut) drift.moved = "? other addresses not compared: too many";
    return drift;
  }
  // Other addresses than before: compared by name.
  drift.moved = `? compared by name: was ${then.join(", ")}, is ${later.join(", ")}`;
  comparePorts(drift, "", before.together(NOT_OPEN), now.together(NOT_OPEN));
  const found = new Set(drift.changes.map(({ port }) => port));
  // An address that is in both may have lost a port that another one has.
  for (const address of later.filter(address => then.includes(address))) {
    const alone = { changes: [], gaps: [] };
    one(address, address, alone);
    drift.changes.push(...alone.changes.filter(({ port }) => !found.has(port)));
  }
  return drift;
}

function comparePorts(drift, address, before, now) {
  const where = address ? ` on ${address}` : "",
    gaps = {};
  for (let port = 1; port < PORTS; port++) {
    const from = before[port],
      to = now[port];
    if (from >= CLOSED && to >= CLOSED) {
      drift.compared++;
      const vague = from === NOT_OPEN || to === NOT_OPEN;
      if (vague ? from === OPEN || to === OPEN : from !== to) drift.changes.push({ port, from, to, where });
    } else if (from || to) {
      const reason = to < CLOSED ? `${words(to)} now` : `${words(from)} before`;
      (gaps[`${where} not compared: ${reason}`] ||= new Uint8Array(PORTS))[port] = 1;
    }
  }
  drift.gaps.push(gaps);
}

// Lines as `diff` has them: a port that was open or is open alone, others together.
function linesOf({ changes, gaps, moved }) {
  const lines = [],
    shifted = {};
  for (const { port, from, to, where } of changes) {
    const text = `${where} ${to === OPEN ? "" : `${words(from)} → `}${words(to)}`;
    if (to === OPEN || from === OPEN) lines.push(`${to === OPEN ? "+" : "−"} ${port}${text}`);
    else (shifted[text] ||= new Uint8Array(PORTS))[port] = 1;
  }
  const grouped = (sign, groups) => {
    for (const [text, ports] of Object.entries(groups)) {
      const runs = [...runsOf(ports)].filter(run => run[2]).map(([from, to]) => span(from, to));
      lines.push(`${sign} ${runs.slice(0, 8)}${runs.length > 8 ? " and more" : ""}${text}`);
    }
  };
  grouped("~", shifted);
  if (moved) lines.push(moved);
  for (const group of gaps) grouped("?", group);
  return lines;
}

// The last run against a host, if this browser has one.
function lastRun(host) {
  try {
    const { at, leftOut, addresses } = JSON.parse(localStorage.getItem(KEPT + host));
    const survey = Object.assign(new Survey(host), { at, leftOut });
    for (const [address, runs] of addresses)
      survey.runs({ address, runs: runs.map(([from, to, code]) => [from, to, STATES[code]]) });
    return survey;
  } catch {
    return null;
  }
}

// A browser has room for some 5 MB of a site, and in a private window for nothing.
function keep({ host, leftOut, addresses }) {
  const runs = [...addresses.values()].map(({ address, states }) => [address, [...runsOf(states)]]);
  for (const others of [[], Object.keys(localStorage).filter(key => key.startsWith(KEPT))]) {
    try {
      for (const key of others) localStorage.removeItem(key);
      return localStorage.setItem(KEPT + host, JSON.stringify({ at: Date.now(), leftOut, addresses: runs }));
    } catch {}
  }
}
