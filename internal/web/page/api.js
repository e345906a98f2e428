// What this page asks of the scoutmaster.

// Problem is an answer that says what was wrong with the question.
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const key = "token"; // under which the tab keeps it

// setToken sets what is presented with each question.
export function setToken(token) {
  sessionStorage.setItem(key, token);
}

async function ask(path, { headers, signal } = {}) {
  const token = sessionStorage.getItem(key);
  const authorization = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { cache: "no-store", headers: { ...authorization, ...headers }, signal });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, problem.detail || answer.statusText);
}

// scouts returns who is there.
export async function scouts(signal) {
  return (await ask("/scouts", { signal })).json();
}

// files returns one page of the list, {entries, next, id}. id names the moment
// that the page shows, and next is the cursor of the page behind it, or null.
export async function files(query, after, limit, signal) {
  const q = new URLSearchParams(query);
  q.set("limit", limit);
  if (after) q.set("after", after);
  const answer = await ask(`/files?${q}`, { signal });
  const body = await answer.json();
  return { entries: body.files.map(entry), next: body.next ?? null, id: momentOf(answer) };
}

// momentOf is the id that a stream of changes can begin behind: what stands in
// the entity tag, but for the format.
function momentOf(answer) {
  return /"(.*)-[a-z]+"/.exec(answer.headers.get("ETag") ?? "")?.[1] ?? null;
}

// watch calls changed(event, entries) for what is added and removed after the
// moment id, until the signal aborts. It returns "reset" when what happened
// since is not known any more, and throws when the stream breaks.
export async function watch(query, id, changed, signal) {
  const answer = await ask(`/files?${new URLSearchParams(query)}`, {
    signal,
    headers: { Accept: "text/event-stream", "Last-Event-ID": id },
  });
  for await (const event of events(answer.body)) {
    if (event.type === "reset") {
      return "reset"; // the whole list follows, which this page never reads
    }
    changed(event.type, JSON.parse(event.data).files.map(entry));
  }
  throw new Error("the stream has ended");
}

// events takes a stream of server-sent events apart. It yields a reset before
// its data has come.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { type: "message", data: "" };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r\n|\n|\r/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (event.data) yield event;
          event = { type: "message", data: "" };
        } else if (line.startsWith("event:")) {
          event.type = line.slice(6).trim();
          if (event.type === "reset") yield event;
        } else if (line.startsWith("data:")) {
          event.data += line.slice(5) + "\n";
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

// entry adds to an entry of the list the key that the list is sorted by: its
// exact bytes, a character each, so that comparing strings compares bytes.
function entry(e) {
  e.key = `${bytes(e.filename, e.filename_base64)}\0${bytes(e.host)}\0${bytes(e.directory, e.directory_base64)}`;
  return e;
}

const encoder = new TextEncoder();

function bytes(text, base64) {
  if (base64) return atob(base64);
  if (/^[\x00-\x7f]*$/.test(text)) return text;
  return Array.from(encoder.encode(text), (b) => String.fromCharCode(b)).join("");
}

// visible spells out the characters of an untrusted name that would break a line
// or turn the direction of what follows.
export function visible(name) {
  return name.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (c) =>
    c === "\n" ? "\\n" : c === "\t" ? "\\t" : `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
