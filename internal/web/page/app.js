// The page: which files exist, which scouts and scoutmasters there are, and how
// that changes.

import { address, hasToken, pathOf, scouts, setToken, visible, watch } from "./api.js";
import { Fleet } from "./fleet.js";
import { ListView } from "./list.js";
import { Plot } from "./plot.js";
import { conditions, fromAddress, toAddress } from "./query.js";
import { copy, copyPaths, followWithToken } from "./take.js";
import { Window } from "./window.js";

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const every = 1000; // milliseconds between requests for the state of the scouts
const share = 5; // those requests take at most one part of the time in so many
const retry = 1000; // milliseconds before a stream that broke is opened again

// The connection. Both the list and the state of the scouts need one.

const tokenNote = $("door-note").textContent;
const broken = new Map(); // what does not work, and why
let since = null; // when the first of them stopped

function works(what) {
  broken.delete(what);
  tellConnection();
}

function fails(what, e) {
  if (broken.size === 0) since = new Date();
  broken.set(what, e);
  tellConnection();
}

function tellConnection() {
  const [e] = broken.values();
  const token = e?.status === 401;
  $("link").className = `link ${e ? "lost" : "live"}`;
  put($("link-text"), e ? "not connected" : "live");
  $("door").hidden = !token;
  put($("door-note"), token && hasToken() ? "The scoutmaster does not accept this token." : tokenNote);
  $("lost").hidden = !e || token;
  document.body.classList.toggle("stale", Boolean(e));
  if (e) put($("lost"), `${reasonOf(e)} Trying again since ${since.toLocaleTimeString()}; what is shown may be out of date.`);
}

function reasonOf(e) {
  return e.status === undefined ? `Cannot connect to the scoutmaster (${e.message}).` : `The scoutmaster cannot answer: ${e.message}.`;
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// The scouts, the totals and the plots.

const fleet = new Fleet({ states: $("states"), scouts: $("scouts"), note: $("fleet-note"), masters: $("masters"), mastersBox: $("masters-box") }, (host) => {
  $("host").value = host;
  search(true);
  $("files-heading").scrollIntoView({ block: "start" });
});
const plots = [new Plot($("files-plot"), "Files over time", (n) => Math.round(n).toLocaleString()), new Plot($("rate-plot"), "Changes a second over time", oneDigit)];

function oneDigit(n) {
  return n.toLocaleString(undefined, { maximumFractionDigits: 1 });
}

for (const button of $("spans").querySelectorAll("button")) {
  button.addEventListener("click", () => {
    for (const other of $("spans").querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
    for (const plot of plots) plot.show(1000 * button.dataset.seconds);
  });
}

// On a phone the plots are shown on request: the list comes first.
$("plots").addEventListener("click", () => {
  const shown = document.querySelector(".totals").classList.toggle("plotted");
  $("plots").setAttribute("aria-expanded", shown);
});

let known = null; // resolved when the scouts are known, which paths are found with
const knowing = new Promise((done) => (known = done));

async function followFleet() {
  let before = null;
  for (;;) {
    const start = performance.now();
    if (!document.hidden) {
      try {
        const now = await scouts();
        before = showTotals(now, before);
        fleet.show(now);
        known();
        works("scouts");
      } catch (e) {
        before = null;
        fails("scouts", e);
      }
    }
    await sleep(Math.max(every, share * (performance.now() - start)));
  }
}

// showTotals returns what the next totals are compared with.
function showTotals({ scouts, epoch, files, changes }, before) {
  const now = { at: performance.now(), epoch, changes };
  put($("total-files"), files.toLocaleString());
  put($("total-scouts"), scouts.length.toLocaleString());
  plots[0].add(files);
  if (before?.epoch === now.epoch) {
    const rate = Math.max(0, (1000 * (now.changes - before.changes)) / (now.at - before.at));
    put($("total-rate"), oneDigit(rate));
    plots[1].add(rate);
  }
  return now;
}

// The list.

const view = new ListView($("list"), $("rows"), showChosen);
let shown = null; // the window that is shown
let query = []; // its conditions

function asked() {
  return { name: $("search").value, host: $("host").value, ignoreCase: $("ignore-case").checked };
}

// search shows what the form asks for. The address of the page follows it; with
// push the browser's back button leads back.
function search(push = false) {
  const address = toAddress(asked()) || location.pathname;
  if (address !== (location.search || location.pathname)) history[push ? "pushState" : "replaceState"](null, "", address);
  return show(asked());
}

async function show(wanted) {
  shown?.close();
  const window = new Window([], {
    changed: () => shown === window && tell(window),
    moved: (index, by) => shown === window && view.moved(index, by),
    failed: (e) => (e.status === 410 ? show(wanted) : fails("list", e)),
  });
  shown = window;
  if (wanted.name.startsWith("/")) await Promise.race([knowing, sleep(5000)]);
  const { query: found, nothing } = conditions(wanted, fleet.directories);
  if (shown !== window) return;
  if (nothing) return clear(nothing, false);
  query = window.query = found;
  offer(found);
  await follow(window);
}

// follow shows a window and keeps it up to date.
async function follow(window) {
  for (let first = true; shown === window; first = false) {
    try {
      const top = first || view.top < 1 ? null : window.row(Math.floor(view.top));
      const id = await window.open(top?.filename);
      if (shown !== window) return;
      complain(false);
      if (first) view.show(window);
      else if (top) view.go(window.start);
      tell(window);
      const counting = window.count().catch((e) => window.failed(e));
      const end = await watch(query, id, () => works("list"), (type, entries, id) => {
        window.apply(type, entries, id);
        if (type === "remove") tellGone(entries);
      }, window.controller.signal);
      await counting;
      if (end === "reset") continue;
    } catch (e) {
      if (shown !== window || e.name === "AbortError") return;
      if (e.status === 400) return clear(sentence(e.message.replace(/^match: /, "")), true);
      fails("list", e);
      if (e.status === 401) return;
    }
    await sleep(retry);
  }
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

// clear shows no rows, and why.
function clear(why, wrong) {
  works("list");
  offer(null);
  shown = new Window([], {});
  shown.total = 0;
  view.show(shown);
  complain(wrong);
  put($("found"), why);
}

function complain(wrong) {
  $("search").setAttribute("aria-invalid", wrong);
  $("found").classList.toggle("wrong", wrong);
}

// tell says how many files there are, and draws them.
function tell(window) {
  put($("found"), found(window));
  for (const id of ["to-start", "to-end"]) $(id).disabled = window.length === 0;
  view.soon();
}

function found(window) {
  const selected = query.some(([kind]) => kind !== "ignore_case");
  const n = window.total ?? window.end;
  const files = `${n.toLocaleString()} ${n === 1 ? "file" : "files"}`;
  const alike = query.some(([kind]) => kind === "ignore_case") ? ", upper and lower case alike" : "";
  return `${window.total === null ? "More than " : ""}${files}${selected ? ` ${n === 1 ? "matches" : "match"}${alike}` : ""}.`;
}

// offer makes the links for what is selected, or none.
function offer(query) {
  for (const link of document.querySelectorAll("[data-format]")) {
    if (query === null) link.removeAttribute("href");
    else link.href = address(query, {}, link.dataset.format);
  }
  $("copy").disabled = query === null;
}

// The chosen file.

let chosen = null;

function showChosen(entry) {
  chosen = entry;
  $("chosen").hidden = entry === null;
  if (entry === null) return;
  put($("chosen-path"), visible(pathOf(entry)));
  put($("chosen-host"), visible(entry.host));
  put($("chosen-note"), entry.filename_base64 || entry.directory_base64 ? "This name is not UTF-8; the downloads have its exact bytes." : "");
}

// tellGone says that the chosen file has gone.
function tellGone(entries) {
  if (chosen !== null && entries.some((e) => e.key === chosen.key)) put($("chosen-note"), "This file no longer exists.");
}

$("chosen-copy").addEventListener("click", () => done(copy(pathOf(chosen)).then(() => "Copied the path.")));
$("copy").addEventListener("click", () => done(copyPaths(query)));
for (const link of document.querySelectorAll("a[href], a[data-format]")) {
  if (link.closest("[data-plain]") === null) link.addEventListener("click", (e) => done(followWithToken(e)));
}

// done says the outcome of what a button did.
async function done(what) {
  try {
    put($("outcome"), (await what) ?? "");
  } catch (e) {
    put($("outcome"), sentence(e.message));
  }
}

// The form and the keyboard.

$("door").addEventListener("submit", (e) => {
  e.preventDefault();
  setToken($("token").value);
  $("token").value = "";
  search();
});

let typing = null;
$("query").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, 150);
});
$("query").addEventListener("submit", (e) => {
  e.preventDefault();
  clearTimeout(typing);
  if (typing !== null) search(true);
  $("list").focus();
});
addEventListener("popstate", () => {
  fill(fromAddress(location.search));
  show(asked());
});

function fill({ name, host, ignoreCase }) {
  $("search").value = name;
  $("host").value = host;
  $("ignore-case").checked = ignoreCase;
}

$("to-start").addEventListener("click", () => view.choose(0));
$("to-end").addEventListener("click", () => view.choose(Math.max(0, shown.length - 1)));
$("goto-form").addEventListener("submit", (e) => e.preventDefault());
let going = null;
$("goto").addEventListener("input", () => {
  clearTimeout(going);
  going = setTimeout(goTo, 150);
});

async function goTo() {
  const window = shown;
  if (window.length === 0) return;
  const index = await window.from($("goto").value);
  if (shown !== window || index === undefined || index < 0) return;
  view.go(index);
  view.choose(index);
}

// In the list, letters go to the first name that begins with them.
let typed = { text: "", at: 0 };
$("list").addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const page = Math.max(1, Math.floor(view.page) - 1);
  const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -view.length, End: view.length }[e.key];
  if (by !== undefined) view.step(by);
  else if (e.key === "Escape") view.choose(null);
  else if (e.key.length === 1 && e.key !== " " && e.key !== "/") {
    typed = { text: e.timeStamp - typed.at < 1000 ? typed.text + e.key : e.key, at: e.timeStamp };
    $("goto").value = typed.text;
    clearTimeout(going);
    going = setTimeout(goTo, 150);
  } else return;
  e.preventDefault();
});
document.addEventListener("keydown", (e) => {
  if (e.key === "/" && !e.ctrlKey && !e.metaKey && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    e.preventDefault();
    $("search").focus();
    $("search").select();
  }
});

fill(fromAddress(location.search));
followFleet();
search();
