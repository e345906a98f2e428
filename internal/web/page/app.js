// The page: who is there, which files exist, and how that changes.

import { scouts, setToken, watch } from "./api.js";
import { Fleet } from "./fleet.js";
import { ListView } from "./list.js";
import { Pages } from "./pages.js";
import { Plot } from "./plot.js";

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const every = 1000; // milliseconds between looks at the fleet
const retry = 1000; // and before a stream that broke is opened again

function status(kind, text) {
  $("link").className = `link ${kind}`;
  if ($("link-text").textContent !== text) $("link-text").textContent = text;
}

// The fleet, its totals and the plots.

const fleet = new Fleet($("states"), $("scouts"), $("fleet-note"), (host) => {
  $("host").value = host;
  search();
});
const filesPlot = new Plot($("files-plot"), (n) => Math.round(n).toLocaleString());
const ratePlot = new Plot($("rate-plot"), oneDigit);

function oneDigit(n) {
  return n.toLocaleString(undefined, { maximumFractionDigits: 1 });
}

async function lookAtFleet() {
  let before = null;
  for (;;) {
    if (!document.hidden) {
      try {
        const now = await scouts();
        before = showTotals(now, before);
        fleet.show(now);
        status("live", "live");
        $("door").hidden = true;
      } catch (e) {
        before = null;
        status("lost", e.status === undefined ? `no answer: ${e.message}` : e.message);
        $("door").hidden = e.status !== 401;
      }
    }
    await sleep(every);
  }
}

// showTotals returns what the next totals are to be held against.
function showTotals({ scouts, epoch, files, changes }, before) {
  const now = { at: performance.now(), epoch, changes };
  $("total-files").textContent = files.toLocaleString();
  $("total-scouts").textContent = scouts.length.toLocaleString();
  filesPlot.add(files);
  if (before?.epoch === now.epoch) {
    const rate = (1000 * (now.changes - before.changes)) / (now.at - before.at);
    $("total-rate").textContent = oneDigit(rate);
    ratePlot.add(rate);
  }
  return now;
}

// The list.

const view = new ListView($("list"), $("rows"));
let shown = null; // the pages that are shown

// queryOf is what the form asks for, in the words of /files.
function queryOf(name, host) {
  const query = [];
  if (host) query.push(["host", host]);
  if (name.startsWith("^")) query.push(["prefix", name.slice(1)]);
  else if (/[*?[{]/.test(name)) query.push(["match", name]);
  else if (name) query.push(["match", `**/*${literal(name)}*`], ["match", `**/*${literal(name)}*/**`]);
  return query;
}

function literal(text) {
  return text.replace(/[\\*?[\]{}]/g, "\\$&");
}

async function search() {
  const query = queryOf($("search").value, $("host").value);
  shown?.close();
  const pages = new Pages(query, () => {
    if (shown === pages) tell(pages);
  });
  shown = pages;
  for (let first = true; shown === pages; first = false) {
    try {
      pages.pages = [];
      const id = await pages.open();
      complain(null);
      if (first) view.show(pages);
      if ((await watch(query, id, (type, entries) => pages.apply(type, entries, (i, by) => view.moved(i, by)), pages.controller.signal)) === "reset") continue;
    } catch (e) {
      if (e.name === "AbortError") return;
      if (e.status === 400 || e.status === 401) return complain(e);
    }
    await sleep(retry);
  }
}

// tell says how much is known of the list, and draws it.
function tell(pages) {
  const n = pages.length.toLocaleString();
  $("found").textContent = pages.more ? `The first ${n} files; scroll for more.` : `${n} ${pages.length === 1 ? "file" : "files"}.`;
  view.soon();
}

function complain(e) {
  $("search").setAttribute("aria-invalid", e?.status === 400);
  if (e !== null) $("found").textContent = e.message;
}

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
  $("list").focus();
});
document.addEventListener("keydown", (e) => {
  if (e.key === "/" && !e.ctrlKey && !e.metaKey && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    e.preventDefault();
    $("search").focus();
    $("search").select();
  }
});

lookAtFleet();
search();
