// The form: what the API has, in the URL and as a call of curl.

const PATHS = { host: "/open-ports", watch: "/watch", sweep: "/sweep", matrix: "/matrix" };
// The parameters of each call: the fields that say they are in it.
const FIELDS = {};
for (const field of all("[data-in]")) {
  for (const name of field.dataset.in.split(" "))
    (FIELDS[name] ||= []).push(...field.querySelectorAll("input, select, textarea"));
}
let shown = "host";

const value = ({ type, checked, value }) => {
  if (type === "checkbox") return checked ? "true" : "";
  if (type === "select-one" && value === "any") return "";
  return value.trim().replace(/[\s,]*[,\n]\s*/g, ",");
};

// What is wrong with them, the API says itself.
function parameters(name) {
  const params = new URLSearchParams();
  for (const field of FIELDS[name]) {
    if (value(field) || field.required) params.set(field.id, value(field));
  }
  return params;
}

// Commas, colons and slashes are no trouble in a query, and easier to read.
const readable = params => `${params}`.replace(/%(2C|3A|2F)/g, decodeURIComponent);

// The URL has the state of the form, and never the token. A link fills in the form but
// starts nothing: whoever sends one must not scan through its reader.
function saveState() {
  const params = new URLSearchParams();
  if (shown !== "host") params.set("view", shown);
  for (const field of all("#form input, #form select, #form textarea, #merged")) {
    if (field.closest("[data-in]:not([hidden]), #watching:not([hidden]), #merging") && value(field))
      params.set(field.id, value(field));
  }
  history.replaceState(null, "", `?${readable(params)}`);
  showCall();
}

function loadState() {
  const params = new URLSearchParams(location.search);
  const view = params.get("view");
  for (const field of [...Object.values(FIELDS).flat(), ui.watch, ui.merged]) {
    const text = params.get(field.id);
    if (text === null) continue;
    field.checked = text === "true";
    if (field.type !== "checkbox") field.value = text;
    if (field.closest("details")) ui.folded.open = true;
  }
  showView(all("[data-view]").some(button => button.dataset.view === view) ? view : "host");
}

function showCall() {
  const name = shown === "host" && ui.watch.checked ? "watch" : shown;
  const header = token() ? ` -H "Authorization: Bearer $TOKEN"` : "";
  ui.curl.textContent = `curl -sN${header} '${location.origin}${PATHS[name]}?${readable(parameters(name))}'`;
  ui.forget.hidden = !token();
}

function showView(name) {
  shown = name;
  for (const button of all("[data-view]")) button.ariaPressed = button.dataset.view === name;
  for (const field of all("[data-in]")) {
    const views = field.dataset.in.split(" ");
    field.hidden = !views.includes(name) && !(name === "host" && views.includes("watch"));
  }
  ui.host.hidden = ui.watching.hidden = ui.choice.hidden = name !== "host";
  ui.listing.hidden = true;
  if (name === "host" ? report : sweep) (name === "host" ? showTable : showSweep)();
  clearProblem();
  showCall();
}

// Shows what the service says is wrong, each fault at its field.
let counting;
function showProblem({ status, title, message, errors, rule, wait }) {
  const others = [];
  for (const [id, faults] of Object.entries(errors)) {
    // The form has no range but in its ports.
    const field = ui[/^(to|from)Port$/.test(id) ? "ports" : id];
    if (field?.closest("[data-in]:not([hidden])")) {
      field
        .closest("p")
        .append(make("span", { className: "fault", id: `fault-${id}`, textContent: faults.join("; ") }));
      field.ariaInvalid = true;
      field.setAttribute("aria-describedby", `fault-${id}`);
      if (field.closest("details")) ui.folded.open = true;
    } else others.push(`${id} ${faults.join("; ")}`);
  }
  let [first] = all("#form [aria-invalid]");
  ui.login.hidden = status !== 401;
  if (status === 401) {
    title = token() ? "This token is not valid" : "A token is needed";
    sessionStorage.removeItem(TOKEN);
    showCall();
    first = ui.token;
  }
  const lines = [title, ...(first && !rule && status !== 401 ? others : [message]), rule && `Rule: ${rule}`];
  ui.problem.replaceChildren(...lines.filter(Boolean).map(textContent => make("p", { textContent })));
  if (wait) countDown(wait);
  (first || ui.problem).focus();
}

// Counts down to the moment at which the service says one may come back.
function countDown(seconds) {
  const until = performance.now() + seconds * 1000,
    line = make("p", { role: "timer" });
  ui.problem.append(line);
  const tick = () => {
    const left = Math.ceil((until - performance.now()) / 1000);
    line.textContent = left > 0 ? `Come back in ${left} s.` : "You may try again now.";
    if (left <= 0) clearInterval(counting);
  };
  counting = setInterval(tick, 200);
  tick();
}

function clearProblem() {
  clearInterval(counting);
  ui.login.hidden = true;
  ui.problem.replaceChildren();
  for (const fault of all(".fault")) fault.remove();
  for (const field of all("[aria-invalid]")) {
    for (const name of ["aria-invalid", "aria-describedby"]) field.removeAttribute(name);
  }
}
