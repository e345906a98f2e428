// The scoutmaster's HTTP API, as this page uses it. Every address is relative to
// the page, so that it works below any path behind a proxy.

// Problem is an error that the scoutmaster, or a proxy in front of it, answers.
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const key = "token"; // in the storage of the tab

// setToken sets the token that is sent with each request.
export function setToken(token) {
  sessionStorage.setItem(key, token);
}

// hasToken reports whether requests need a header that a link cannot send.
export function hasToken() {
  return Boolean(sessionStorage.getItem(key));
}

// ask returns the answer to a GET. It throws a Problem if the answer is an error.
export async function ask(path, { headers, signal } = {}) {
  const token = sessionStorage.getItem(key);
  const authorization = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { cache: "no-store", headers: { ...authorization, ...headers }, signal });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => null);
  throw new Problem(answer.status, problem?.detail ?? `an answer that is not the scoutmaster's: ${answer.status} ${answer.statusText}`);
}

async function askJSON(path, options) {
  const answer = await ask(path, options);
  if (!/json/.test(answer.headers.get("Content-Type") ?? "")) {
    throw new Problem(answer.status, "an answer that is not the scoutmaster's: it is not JSON");
  }
  return { answer, body: await answer.json() };
}

// scouts returns the state of the scouts.
export async function scouts(signal) {
  return (await askJSON("scouts", { signal })).body;
}

// address returns the address of a part of the list: files, or files.txt and so on.
export function address(query, more = {}, format = "") {
  const q = new URLSearchParams([...query, ...Object.entries(more)]);
  return `files${format && `.${format}`}${q.size > 0 ? `?${q}` : ""}`;
}

// files returns one page of the list, {entries, next, count, offset, id}. next is
// the cursor of the page behind it, or null. id names the version of the list.
export async function files(query, where, signal) {
  const { answer, body } = await askJSON(address(query, where), { signal });
  return { entries: body.files.map(entry), next: body.next ?? null, count: body.count, offset: body.offset, id: versionOf(answer) };
}

// versionOf returns the id that a stream of changes can resume from: the entity tag
// without the format.
function versionOf(answer) {
  return /"(.*)-[a-z]+"/.exec(answer.headers.get("ETag") ?? "")?.[1] ?? null;
}

// revisionOf returns the revision of an id.
export function revisionOf(id) {
  return Number(id?.split("-").at(-1) ?? 0);
}

// watch calls changed(event, entries, id) for what is added and removed after the
// version id, until the signal aborts. It returns "reset" when the scoutmaster
// cannot tell what happened since, and throws when the stream breaks.
export async function watch(query, id, opened, changed, signal) {
  const answer = await ask(address(query), { signal, headers: { Accept: "text/event-stream", "Last-Event-ID": id } });
  opened();
  for await (const event of events(answer.body)) {
    if (event.type === "reset") return "reset"; // the whole list follows; this page reads it page by page
    changed(event.type, JSON.parse(event.data).files.map(entry), event.id);
  }
  throw new Error("the stream of changes has ended");
}

// events parses a stream of server-sent events. It yields a reset before its data
// has come.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { type: "message", data: "", id: "" };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r\n|\n|\r/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (event.data) yield event;
          event = { type: "message", data: "", id: "" };
        } else if (line.startsWith("event:")) {
          event.type = line.slice(6).trim();
          if (event.type === "reset") yield event;
        } else if (line.startsWith("id:")) {
          event.id = line.slice(3).trim();
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

// pathOf returns the absolute path of an entry.
export function pathOf(e) {
  return `${e.directory === "/" ? "" : e.directory}/${e.filename}`;
}

// visible spells out the characters of an untrusted name that would break a line
// or change the direction of what follows.
export function visible(name) {
  return name.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (c) =>
    c === "\n" ? "\\n" : c === "\t" ? "\\t" : `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
