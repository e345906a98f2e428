// The list as a table of which only the rows in view are in the document. A
// browser cannot scroll through millions of rows, so a long list is scrolled in
// proportion, and small steps are exact.

import { visible } from "./api.js";

const around = 12; // rows that are drawn above and below those in view
const freshFor = 2500; // milliseconds for which a new row is marked
const tallest = 6_000_000; // pixels that a browser surely scrolls
const step = 1500; // pixels: a longer way is a jump of the scroll bar
const rest = 150; // milliseconds without scrolling after which the scroll bar is put right

export class ListView {
  // chosen is called with the entry that is chosen, or null.
  constructor(box, body, chosen) {
    Object.assign(this, { box, body, chosen, rows: null });
    this.top = 0; // the row at the upper edge, and the part of it that is hidden
    this.at = 0; // the position of the scroll bar that top belongs to
    this.active = null; // {index, entry} of the chosen row
    this.above = spacer();
    this.below = spacer();
    box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    body.addEventListener("click", (e) => {
      const index = e.target.closest("tr")?.dataset.index;
      if (index !== undefined && getSelection().isCollapsed) this.choose(Number(index));
    });
    new ResizeObserver(() => this.measure()).observe(box);
  }

  // show shows other rows, from a row on.
  show(rows, index = 0) {
    this.rows = rows;
    this.choose(null);
    this.measure();
    this.go(index);
  }

  measure() {
    this.rowHeight = parseFloat(getComputedStyle(this.box).getPropertyValue("--row"));
    this.page = Math.max(1, (this.box.clientHeight - this.body.parentElement.tHead.offsetHeight) / this.rowHeight);
    this.place();
  }

  get length() {
    return this.rows?.length ?? 0;
  }

  get height() {
    return Math.min(this.length * this.rowHeight, tallest);
  }

  get last() {
    return Math.max(0, this.length - this.page);
  }

  get way() {
    return Math.max(0, this.box.scrollHeight - this.box.clientHeight);
  }

  get squeezed() {
    return this.length * this.rowHeight > tallest;
  }

  scrolled() {
    const by = this.box.scrollTop - this.at;
    if (by === 0) return;
    this.at = this.box.scrollTop;
    if (!this.squeezed) this.top = this.at / this.rowHeight;
    else if (this.at <= 0) this.top = 0;
    else if (this.at >= this.way - 1) this.top = this.last;
    else if (Math.abs(by) < step) this.top = clamp(this.top + by / this.rowHeight, 0, this.last);
    else this.top = (this.at / this.way) * this.last;
    clearTimeout(this.resting);
    if (this.squeezed) this.resting = setTimeout(() => this.place(), rest);
    this.soon();
  }

  // place puts the scroll bar where it belongs, and draws.
  place() {
    this.top = clamp(this.top, 0, this.last);
    this.draw();
    this.box.scrollTop = this.squeezed ? (this.top / Math.max(1, this.last)) * this.way : this.top * this.rowHeight;
    this.at = this.box.scrollTop;
    this.draw();
  }

  // go moves a row to the upper edge.
  go(index) {
    this.top = index;
    this.place();
  }

  // choose marks a row and brings it into view.
  choose(index) {
    const entry = index === null ? null : this.rows?.row(index) ?? null;
    this.active = index === null ? null : { index, entry };
    if (index !== null && index < this.top) this.go(index);
    else if (index !== null && index > this.top + this.page - 1) this.go(index - this.page + 1);
    else this.soon();
    this.chosen(entry);
  }

  // step chooses the row that is some rows further.
  step(by) {
    if (this.length === 0) return;
    const from = this.active?.index ?? Math.ceil(this.top) - Math.sign(by);
    this.choose(clamp(from + by, 0, this.length - 1));
  }

  // moved keeps in place what is looked at when rows come or go above it.
  moved(index, by) {
    if (this.active !== null && index <= this.active.index) this.active.index += by;
    if (index < Math.floor(this.top)) {
      this.top = Math.max(0, this.top + by);
      this.misplaced = true;
    }
  }

  // soon draws before the next frame, once.
  soon() {
    this.due ??= requestAnimationFrame(() => {
      this.due = null;
      if (this.misplaced) {
        this.misplaced = false;
        this.place();
      } else {
        this.draw();
      }
    });
  }

  draw() {
    if (this.rows === null || !this.rowHeight) return;
    const spare = Math.floor(this.at / this.rowHeight); // rows that fit above
    const first = Math.max(0, Math.floor(this.top) - Math.min(around, spare));
    const last = Math.min(this.length, Math.ceil(this.top + this.page) + around);
    this.rows.need(first, last);
    const rows = [];
    for (let i = first; i < last; i++) rows.push(this.rowOf(i));
    const above = Math.max(0, this.squeezed ? this.at - (this.top - first) * this.rowHeight : first * this.rowHeight);
    height(this.above, above);
    height(this.below, Math.max(0, this.height - above - rows.length * this.rowHeight));
    this.body.replaceChildren(this.above, ...rows, this.below);
    this.body.parentElement.setAttribute("aria-rowcount", this.rows.total === null ? -1 : this.length + 1);
  }

  rowOf(index) {
    const e = this.rows.row(index);
    const row = document.createElement("tr");
    row.setAttribute("aria-rowindex", index + 2);
    row.dataset.index = index;
    if (e === null) {
      row.className = "loading";
      row.append(cell("name", "…"), cell("host", ""), cell("path", ""));
      return row;
    }
    const age = performance.now() - e.fresh;
    if (age < freshFor) {
      row.classList.add("fresh");
      row.style.setProperty("--age", `-${age}ms`);
    }
    if (this.active?.index === index) {
      if (this.active.entry === null) {
        this.active.entry = e;
        this.chosen(e);
      }
      if (this.active.entry.key === e.key) row.classList.add("active");
    }
    row.append(nameCell(e.filename), cell("host", e.host), cell("path", e.directory));
    return row;
  }
}

// nameCell shows a filename with its directories in the background.
function nameCell(filename) {
  const td = cell("name", filename);
  const slash = td.textContent.lastIndexOf("/") + 1;
  if (slash === 0) return td;
  const directories = document.createElement("span");
  directories.className = "directories";
  directories.textContent = td.textContent.slice(0, slash);
  td.replaceChildren(wrap(directories, td.textContent.slice(slash)));
  return td;
}

function wrap(...parts) {
  const span = document.createElement("span");
  span.className = "text";
  span.append(...parts);
  return span;
}

function cell(kind, text) {
  const td = document.createElement("td");
  td.className = kind;
  td.append(wrap(visible(text)));
  return td;
}

function spacer() {
  const row = document.createElement("tr");
  row.className = "spacer";
  row.setAttribute("aria-hidden", "true");
  const td = document.createElement("td");
  td.colSpan = 3;
  row.append(td);
  return row;
}

function height(spacer, pixels) {
  spacer.hidden = pixels === 0;
  spacer.firstChild.style.height = `${pixels}px`;
}

function clamp(n, low, high) {
  return Math.min(Math.max(n, low), high);
}
