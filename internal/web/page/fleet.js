// The scouts and scoutmasters, and how they are doing.

import { visible } from "./api.js";

const most = 500; // rows; the others are counted
const order = ["unavailable", "gone", "degraded", "scanning", "live"]; // what needs attention first
const day = 86_400_000; // milliseconds for which a scout counts as gone

export class Fleet {
  // choose is called with the host that is chosen.
  constructor({ states, scouts, note, masters, mastersBox }, choose) {
    Object.assign(this, { states, body: scouts, note, masters, mastersBox, choose });
    this.only = null; // the state that is shown, or null
    this.fleet = { scouts: [], left: [], refused: [], states: {} };
  }

  show(fleet) {
    this.fleet = fleet;
    this.draw();
  }

  // directories are those of all scouts, also of those that are gone.
  get directories() {
    return [...new Set([...this.fleet.scouts, ...this.fleet.left].map((s) => s.directory))];
  }

  draw() {
    const all = [...this.fleet.scouts, ...gone(this.fleet)];
    this.drawStates(counts(this.fleet));
    const chosen = all.filter((s) => this.only === null || s.state === this.only);
    chosen.sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
    this.drawScouts(chosen.slice(0, most));
    put(this.note, this.notes(chosen.length).join(" "));
    this.drawMasters(this.fleet.scoutmasters ?? []);
  }

  notes(chosen) {
    const { scouts, refused, states } = this.fleet;
    const notes = [];
    if (scouts.length === 0) notes.push("No scout is connected.");
    if (chosen > most) notes.push(`${(chosen - most).toLocaleString()} more are not shown.`);
    const unnamed = (states.gone ?? 0) - gone(this.fleet).length;
    if (unnamed > 0) notes.push(`${unnamed.toLocaleString()} more that are gone: the log of the scoutmaster names them.`);
    const last = refused[0];
    if (last) notes.push(`Refused ${ago(last.when)}: ${visible(last.host)} ${visible(last.directory)}; held by ${visible(last.holder)}.`);
    return notes;
  }

  // drawStates keeps its buttons, so that the focus stays where it is.
  drawStates(counts) {
    for (const [state, n] of counts) {
      let button = this.states.querySelector(`[data-state="${state}"]`);
      if (button === null) {
        button = document.createElement("button");
        button.type = "button";
        button.dataset.state = state;
        button.className = `state ${state}`;
        button.addEventListener("click", () => {
          this.only = this.only === state ? null : state;
          this.draw();
        });
        this.states.append(button);
      }
      put(button, `${n.toLocaleString()} ${state}`);
      button.hidden = n === 0 && this.only !== state;
      button.setAttribute("aria-pressed", this.only === state);
    }
  }

  drawScouts(scouts) {
    const several = scouts.some((s) => s.scoutmaster);
    this.body.parentElement.classList.toggle("several", several);
    rows(this.body, scouts, () => this.newScout(), (s, cells) => {
      const [state, host, directory, files, heard, master, version] = cells;
      put(state.firstChild, s.state);
      state.firstChild.className = `state ${s.state}`;
      put(state.lastChild, why(s));
      put(host.firstChild, visible(s.host));
      host.firstChild.dataset.host = s.host;
      put(directory, visible(s.directory));
      directory.title = directory.textContent;
      put(files, s.state === "gone" ? "–" : s.files.toLocaleString());
      put(heard, s.heard ? ago(s.heard) : "–"); // unknown of a scout of another scoutmaster
      put(master, visible(s.scoutmaster ?? ""));
      put(version, visible(s.version ?? ""));
    });
  }

  newScout() {
    const cells = ["", "name", "path", "number", "heard", "name master", "name version"].map(cell);
    const state = document.createElement("span");
    const reason = document.createElement("span");
    reason.className = "why";
    cells[0].append(state, " ", reason);
    const host = document.createElement("button");
    host.type = "button";
    host.className = "plain";
    host.title = "Show the files of this host";
    host.addEventListener("click", () => this.choose(host.dataset.host));
    cells[1].append(host);
    return cells;
  }

  drawMasters(masters) {
    this.mastersBox.hidden = masters.length === 0;
    rows(this.masters, masters, () => {
      const cells = ["", "name", "number", "number", "name version"].map(cell);
      cells[0].append(document.createElement("span"));
      cells[1].append(document.createElement("a"));
      return cells;
    }, (m, [state, name, scouts, revision, version]) => {
      put(state.firstChild, m.state);
      state.firstChild.className = `state ${m.state.replace(" ", "-")}`;
      put(name.firstChild, visible(m.name));
      if (/^https?:/.test(m.url ?? "")) name.firstChild.href = m.url;
      else name.firstChild.removeAttribute("href");
      put(scouts, (m.scouts ?? 0).toLocaleString());
      put(revision, (m.revision ?? 0).toLocaleString());
      put(version, visible(m.version ?? ""));
    });
  }
}

// counts returns how many scouts are in each state.
function counts({ scouts, states }) {
  const counts = new Map(order.map((s) => [s, 0]));
  for (const s of scouts) counts.set(s.state, (counts.get(s.state) ?? 0) + 1);
  counts.set("gone", states.gone ?? 0);
  return counts;
}

// gone returns the scouts that left without deregistering and have not come back.
function gone({ scouts, left }) {
  const back = new Set(scouts.map(origin));
  return left
    .filter((l) => l.reason !== "deregistered" && !back.has(origin(l)) && Date.now() - Date.parse(l.when) < day)
    .map((l) => ({ ...l, state: "gone", heard: l.when }));
}

function origin(s) {
  return `${s.host}\0${s.directory_base64 ?? s.directory}`;
}

// rows makes a row of a table for each item, and keeps those that it has.
function rows(body, items, fresh, fill) {
  items.forEach((item, i) => {
    if (!body.rows[i]) body.insertRow().append(...fresh());
    fill(item, [...body.rows[i].cells]);
  });
  while (body.rows.length > items.length) body.deleteRow(-1);
}

function cell(kind) {
  return Object.assign(document.createElement("td"), { className: kind });
}

// put sets a text, if it is another one: what stays is left alone.
function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function why(s) {
  if (s.state === "scanning") return `${s.scanned.toLocaleString()} files so far`;
  const parts = [s.reason && visible(s.reason)];
  if (s.state === "degraded") {
    parts.push(s.polled && `${s.polled.toLocaleString()} directories polled`, s.unreadable && `${s.unreadable.toLocaleString()} unreadable`);
  }
  return parts.filter(Boolean).join(", ");
}

function ago(time) {
  const seconds = Math.max(0, (Date.now() - Date.parse(time)) / 1000);
  if (seconds < 10) return `${seconds.toFixed(1)} s ago`;
  if (seconds < 120) return `${Math.round(seconds)} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}
