// What the page does when.

let running = null;

// Runs what was asked for until it ends, or until it is cancelled.
async function run(...works) {
  running?.abort();
  const mine = (running = new AbortController());
  clearProblem();
  busy(true);
  try {
    for (const work of works) await work(mine.signal);
  } catch (error) {
    if (running !== mine) return;
    if (!mine.signal.aborted && !(error instanceof Problem)) throw error;
    say(mine.signal.aborted && "Stopped: what is shown is not all.");
    if (!mine.signal.aborted) showProblem(error);
  } finally {
    if (running === mine) busy((running = null));
  }
}

function busy(is) {
  document.body.ariaBusy = Boolean(is);
  ui.cancel.disabled = !is;
  ui.progress.hidden = !is;
  ui.progress.value = 0;
  ui.pace.textContent = "";
  repaint();
}

function start(event) {
  event?.preventDefault();
  saveState();
  if (ui.result.getBoundingClientRect().top > innerHeight / 2) ui.result.scrollIntoView();
  run(
    ...(shown === "sweep"
      ? [sweepHosts]
      : shown === "matrix"
        ? [askPeers]
        : ui.watch.checked
          ? [scanHost, watchHost]
          : [scanHost])
  );
}

ui.form.onsubmit = start;
ui.form.oninput = saveState;
ui.cancel.onclick = () => {
  running?.abort();
  ui.start.focus();
};

// Switched on after a scan, it watches what was scanned; switched off, it ends the watch.
ui.watch.onchange = () => {
  if (!ui.watch.checked) running?.abort();
  else if (report && !running) run(watchHost);
};

ui.login.onsubmit = event => {
  sessionStorage.setItem(TOKEN, ui.token.value.trim());
  ui.token.value = "";
  start(event);
};
ui.forget.onclick = () => {
  sessionStorage.removeItem(TOKEN);
  showCall();
};

for (const button of all("[data-view]")) {
  button.onclick = () => {
    running?.abort();
    showView(button.dataset.view);
    saveState();
    say();
    repaint();
  };
}

ui.out.onclick = () => zoom(2);
ui.in.onclick = () => zoom(0.5);
ui.whole.onclick = () => zoomTo(0, PORTS - 1);
ui.next.onclick = () => showOpen(1);
ui.goto.onchange = () => {
  const [from, to = from] = ui.goto.value.split("-").map(Number);
  if (!(from <= to && to < PORTS)) return;
  zoomTo(from, to);
  show(from);
};
ui.merged.onchange = () => {
  saveState();
  repaint();
};
ui["every-state"].onchange = showTable;

const THEME = "open-ports:theme";
function showTheme() {
  const theme = localStorage.getItem(THEME) || "auto";
  document.documentElement.dataset.theme = theme;
  ui.theme.textContent = `Theme: ${theme}`;
  colours = {};
  repaint();
}
ui.theme.onclick = () => {
  const next = { auto: "light", light: "dark", dark: "auto" };
  localStorage.setItem(THEME, next[document.documentElement.dataset.theme]);
  showTheme();
};
matchMedia("(prefers-color-scheme: dark)").onchange = showTheme;

for (const button of all("[data-copy]")) {
  button.onclick = async () => {
    const said = button.textContent;
    await copy(TEXTS[button.dataset.copy]());
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = said), 1500);
  };
}

onresize = repaint;
document.body.append(probe);
loadState();
showTheme();
busy(false);
