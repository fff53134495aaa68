// The same as the map, as a table: to read aloud, to read, to copy.

// A browser is slow with more cells than these rows have. What is copied has all.
const MOST_ROWS = 2000;
const COLUMNS = ["port", "service", "state", "reason", "rtt ms", "address"];

// Ports on which there are records in a row each, others in runs of the same state.
function rowsOf(wanted) {
  const table = [];
  for (const facts of survey.inOrder()) {
    const { address, states, rows } = facts;
    for (const [from, to, state] of runsOf(states)) {
      if (!wanted(state)) continue;
      const known = numbers(from, to).filter(port => codeOf(rows.get(port)?.state) === state);
      const spans =
        state !== CLOSED && known.length === to - from + 1 ? known.map(port => [port, port]) : [[from, to]];
      for (const [first, last] of spans) {
        const row = first === last ? rows.get(first) : null;
        table.push([
          span(first, last),
          row?.service || "",
          words(state),
          reasonOf(facts, first),
          row?.rtt_ms ?? "",
          address
        ]);
      }
    }
  }
  return table;
}

function showTable() {
  const rows = rowsOf(state => state === OPEN || (ui["every-state"].checked && state > SILENT));
  fillTable("", COLUMNS, rows, text => make("td", { textContent: text }));
}

// The first cell of a row heads it; `cell` makes the others.
function fillTable(kind, columns, rows, cell) {
  const [head, body] = ui.table.children;
  const heading = scope => textContent => make("th", { scope, textContent });
  ui.table.className = kind;
  head.replaceChildren(make("tr", {}, ...columns.map(heading("col"))));
  body.replaceChildren(
    ...rows
      .slice(0, MOST_ROWS)
      .map(([first, ...others]) =>
        make(
          "tr",
          {},
          heading("row")(first),
          ...others.map((text, index) => cell(text, columns[index + 1], first))
        )
      )
  );
  ui.more.textContent =
    rows.length > MOST_ROWS ? `The first of ${several(rows.length, "row")}; “Copy table” has all.` : "";
  ui.listing.hidden = false;
}

const TEXTS = {
  curl: () => ui.curl.textContent,
  open: () => (shown === "host" ? survey.openPorts() : sweepOpen()).join(),
  table: () =>
    (shown === "host" ? [COLUMNS, ...rowsOf(state => state > SILENT)] : sweepRows())
      .map(row => row.join("\t"))
      .join("\n"),
  json: () => JSON.stringify(shown === "host" ? report : sweep.records, null, 2)
};

// Without HTTPS, a browser has a clipboard only for pages from loopback.
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = make("textarea", { value: text });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
