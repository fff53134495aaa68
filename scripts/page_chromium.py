"""Pages in Chromium, for scripts/page.py: what they drew, and what they must not do."""

import contextlib
import shutil
import urllib.parse
from collections import Counter

from axe_playwright_python.sync_playwright import Axe

from page_service import PATIENCE, wait_until

# Debian's packages.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 3, "is_mobile": True, "has_touch": True}
DESK = {"viewport": {"width": 1280, "height": 860}}

# Runs in every page before its own script. Chromium says what the policy forbids, and
# what was drawn when: `found` is the moment at which the record of the first open port
# was read, `painted` the frame after its cell was drawn, `whole` that after the last cell.
WITNESS = """
window.seen = {violations: [], copied: "", found: 0, painted: 0, whole: 0};
addEventListener("securitypolicyviolation", (event) => seen.violations.push(event.violatedDirective + " " + event.blockedURI));
Object.defineProperty(navigator, "clipboard", {value: {writeText: async (text) => { seen.copied = text; }}});
const parse = JSON.parse;
JSON.parse = (text, ...others) => {
  const value = parse(text, ...others);
  if (value && value.type === "port" && value.state === "open") seen.found ||= performance.now();
  if (value && value.type === "end") seen.ended ||= performance.now();
  return value;
};
const draw = CanvasRenderingContext2D.prototype.drawImage;
CanvasRenderingContext2D.prototype.drawImage = function (...others) {
  draw.apply(this, others);
  const name = seen.ended ? "whole" : "painted";
  if (seen.found && !seen[name]) {
    // A message that is sent in a frame arrives after the frame is painted.
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => (seen[name] ||= performance.now());
      channel.port2.postMessage(0);
    });
  }
};
"""

# The state of each cell of the map at this index, by the colours of the legend.
CELLS = """
(index) => {
  const canvas = document.querySelectorAll("canvas.cells")[index], side = canvas.width, cell = side / 256;
  const {data} = canvas.getContext("2d").getImageData(0, 0, side, side);
  const probe = document.body.appendChild(document.createElement("i"));
  const rgb = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color.match(/\\d+/g).slice(0, 3).join();
  };
  const names = ["not-asked", "silent", "not-scanned", "closed", "filtered", "open"];
  const states = Object.fromEntries(names.map((name) => [rgb(name), name]));
  probe.remove();
  const runs = [];
  for (let port = 0; port < 65536; port++) {
    const x = Math.floor(((port & 255) + 0.5) * cell), y = Math.floor(((port >> 8) + 0.5) * cell), at = 4 * (y * side + x);
    const state = states[`${data[at]},${data[at + 1]},${data[at + 2]}`] || "?", last = runs.at(-1);
    if (last?.state === state) last.length++;
    else runs.push({state, length: 1});
  }
  return runs;
}
"""


@contextlib.contextmanager
def opened(browser, service, at="/", strict=True, **options):
    """A page in a browser that has never been here. It must not fail, not ask others, and
    not do what its policy forbids."""
    context = browser.new_context(**{**DESK, **options})
    context.set_default_timeout(1000 * PATIENCE)
    context.add_init_script(WITNESS)
    page = context.new_page()
    wrong, asked = [], set()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    # What the service refuses is said on the console, and is none of its errors.
    page.on("console", lambda said: wrong.extend([said.text] if said.type == "error" and "Failed to load" not in said.text else []))
    page.on("request", lambda request: asked.add(urllib.parse.urlsplit(request.url).netloc))
    page.goto(service.url + at if at.startswith("/") else at)
    yield page
    if strict:
        assert not wrong, wrong
        violations = page.evaluate("window.seen && seen.violations") if options.get("java_script_enabled", True) else []
        assert not violations, violations
        port = urllib.parse.urlsplit(service.url).port
        names = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "elsewhere.internal")}
        assert {name for name in asked if name} <= names, asked
    context.close()


def fill(page, **fields):
    for field, text in fields.items():
        if page.locator(f"#folded:not([open]) #{field}").count():
            page.click("summary")
        if field == "family":
            page.select_option(f"#{field}", text)
        else:
            page.fill(f"#{field}", text)


def run(page, host, **fields):
    """Scans, and waits until that is over and drawn."""
    fill(page, domain=host, **fields)
    page.click("#start")
    idle(page)


def idle(page):
    wait_for(page, "document.body.ariaBusy === 'false'")
    # Two frames later everything is drawn.
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def wait_for(page, condition, argument=None):
    # Playwright's own way to wait evaluates text, which the policy of the page forbids.
    wait_until(condition, lambda: page.evaluate(condition, argument))


def cells(page, index=0):
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return [run["state"] for run in page.evaluate(CELLS, index) for _ in range(run["length"])]


def opens(drawn):
    return [port for port, state in enumerate(drawn) if state == "open"]


def compare(page, report, asked):
    """Whether each cell has the state that the report says."""
    [facts] = report["addresses"]
    wanted = states(facts, asked)
    drawn = enumerate(cells(page))
    different = [(port, state) for port, state in drawn if state != wanted.get(port, "not-asked")]
    assert not different, different[:10]


def states(facts, asked):
    """The state of each port, of a report with details. What has no row is closed."""
    assert facts["not_scanned"] == 0, facts
    rows = {row["port"]: row["state"] for row in facts["ports"]}
    found = {port: rows.get(port, "closed") for port in asked}
    counts = Counter(found.values())
    assert (counts["closed"], counts["filtered"]) == (facts["closed"], facts["filtered"]), counts
    return found


def tab_to(page, target):
    for _ in range(60):
        if page.evaluate("document.activeElement.id") == target:
            return
        page.keyboard.press("Tab")
    raise SystemExit(f"the keyboard does not reach {target}")


def check_access(page):
    """Axe finds nothing serious."""
    found = Axe().run(page).response["violations"]
    serious = [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found if each["impact"] in ("serious", "critical")]
    assert not serious, serious


# What a finger may miss.
SMALL_TARGETS = """
[...document.querySelectorAll("a[href], button, input:not([type=checkbox]), select, textarea, summary, .check")]
  .filter((each) => each.checkVisibility())
  .filter((each) => Math.min(each.offsetHeight, each.offsetWidth) < 44)
  .map((each) => each.outerHTML)
"""
