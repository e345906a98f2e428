// Who is there, and how they are.

import { visible } from "./api.js";

const most = 500; // rows; of more, the rest is counted
const order = ["unavailable", "degraded", "scanning", "live"]; // what needs a look first

export class Fleet {
  constructor(states, body, note, choose) {
    this.states = states;
    this.body = body;
    this.note = note;
    this.choose = choose;
    this.only = null;
    this.fleet = { scouts: [], left: [], refused: [] };
  }

  show(fleet) {
    this.fleet = fleet;
    this.draw();
  }

  draw() {
    const { scouts } = this.fleet;
    const counts = new Map(order.map((s) => [s, 0]));
    for (const s of scouts) counts.set(s.state, (counts.get(s.state) ?? 0) + 1);
    this.drawStates(counts);
    const chosen = scouts.filter((s) => this.only === null || s.state === this.only);
    chosen.sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
    this.drawRows(chosen.slice(0, most));
    this.note.textContent = this.notes(chosen.length).join(" ");
  }

  notes(chosen) {
    const { scouts, left, refused } = this.fleet;
    const notes = [];
    if (scouts.length === 0) notes.push("No scout is connected.");
    if (chosen > most) notes.push(`${(chosen - most).toLocaleString()} more are not shown.`);
    const gone = left[0];
    if (gone) notes.push(`Left last: ${visible(gone.host)} ${visible(gone.directory)} (${gone.reason}).`);
    if (refused[0]) notes.push(`Refused last: ${visible(refused[0].host)} ${visible(refused[0].directory)}.`);
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
        button.addEventListener("click", () => {
          this.only = this.only === state ? null : state;
          this.draw();
        });
        this.states.append(button);
      }
      button.textContent = `${state} ${n.toLocaleString()}`;
      button.hidden = n === 0 && this.only !== state;
      button.setAttribute("aria-pressed", this.only === state);
    }
  }

  drawRows(scouts) {
    scouts.forEach((s, i) => {
      const row = this.body.rows[i] ?? this.newRow();
      const [state, host, directory, files, heard, version] = row.cells;
      put(state.firstChild, s.state);
      state.firstChild.className = `state ${s.state}`;
      put(state.lastChild, why(s));
      put(host.firstChild, visible(s.host));
      host.firstChild.dataset.host = s.host;
      put(directory, visible(s.directory));
      directory.title = directory.textContent;
      put(files, s.files.toLocaleString());
      put(heard, s.heard ? `${ago(s.heard)} ago` : "–");
      put(version, visible(s.version));
    });
    while (this.body.rows.length > scouts.length) this.body.deleteRow(-1);
  }

  newRow() {
    const row = this.body.insertRow();
    for (const kind of ["", "name", "path", "number", "", "name"]) row.insertCell().className = kind;
    const state = document.createElement("span");
    const reason = document.createElement("span");
    reason.className = "why";
    row.cells[0].append(state, " ", reason);
    const host = document.createElement("button");
    host.type = "button";
    host.className = "plain";
    host.title = "Show the files of this host";
    host.addEventListener("click", () => this.choose(host.dataset.host));
    row.cells[1].append(host);
    return row;
  }
}

// put sets a text, if it is another one: what stays is left alone.
function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function why(s) {
  if (s.state === "scanning") return `${s.scanned.toLocaleString()} files so far`;
  if (s.state === "degraded") {
    return [s.polled && `${s.polled.toLocaleString()} directories polled`, s.unreadable && `${s.unreadable.toLocaleString()} unreadable`]
      .filter(Boolean).join(", ");
  }
  return visible(s.reason ?? "");
}

function ago(time) {
  const seconds = Math.max(0, (Date.now() - Date.parse(time)) / 1000);
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return `${Math.round(seconds / 60)} min`;
}
