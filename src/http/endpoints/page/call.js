// Calls of the service. Its streams are read by fetch: an EventSource has no tokens.

const TOKEN = "open-ports:token";
const token = () => sessionStorage.getItem(TOKEN);

// Why a call has no result: a problem document (RFC 9457), or the same for the network.
class Problem extends Error {
  constructor(problem, wait) {
    super(problem.detail || problem.title);
    Object.assign(this, { errors: {}, wait }, problem);
  }
}

// Hands each record of the reply to `take`. Fails with a `Problem`, or by `signal`.
async function call(path, params, signal, take) {
  const headers = { Accept: "application/x-ndjson, application/json;q=0.5" };
  if (token()) headers.Authorization = `Bearer ${token()}`;
  const lost = error => {
    throw signal.aborted
      ? error
      : new Problem({ title: "No answer", detail: "The service cannot be reached." });
  };
  const reply = await fetch(`${path}?${params}`, { headers, signal, cache: "no-store" }).catch(lost);
  if (!reply.ok) {
    const problem = await reply.json().catch(() => ({ title: `Status ${reply.status}` }));
    throw new Problem({ status: reply.status, ...problem }, reply.headers.get("Retry-After"));
  }
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "", last; ;) {
    const { done, value } = await reader
      .read()
      .catch(error => (signal.aborted ? lost(error) : { done: true }));
    if (done && last === "end") return;
    if (done)
      throw new Problem({ title: "Cut off", detail: "The reply has no end: what is shown is not all." });
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const record = JSON.parse(line);
      // A document has no type, and is whole.
      last = record.type ?? "end";
      take(record);
    }
  }
}
