// The view from many vantages: each peer of the service asks from where it runs.

async function askPeers(signal) {
  const table = newTable();
  say("Asking the peers …");
  await call("/matrix", parameters("matrix"), signal, matrix => {
    table.records.push(matrix);
    for (const { vantage, complete, reason, addresses = [], not_asked: gap } of matrix.rows) {
      const row = rowOf(table, vantage.pod || vantage.address || "this instance");
      row.complete = Boolean(complete);
      row.notes.push(
        ...[vantage.namespace, vantage.node, vantage.zone, reason, gap && `not asked: ${gap}`].filter(Boolean)
      );
      for (const { open, refused, filtered = {} } of addresses) {
        takePorts(table, row, open, "open");
        takePorts(table, row, refused, "closed");
        for (const list of Object.values(filtered)) takePorts(table, row, list, "filtered");
      }
    }
    table.ended = true;
    const vantages = several(matrix.rows.length, "vantage");
    say(`${matrix.domain} from ${vantages}.`, !matrix.complete && "Incomplete: see the notes.");
    showSweep();
  });
}

// Ports in the notation of the form. A column for each closed one would hide the others.
function takePorts(table, row, list = "", state) {
  const ports = list
    .split(",")
    .filter(Boolean)
    .flatMap(range => {
      const [from, to = from] = range.split("-").map(Number);
      return numbers(from, to);
    });
  for (const port of ports) {
    better(row, port, state);
    if (state === "open" || ports.length <= 64) table.ports.add(port);
  }
}
