// The list as a window: of however many rows, only those that can be seen are
// in the document.

import { visible } from "./api.js";

const rowHeight = 28; // as in style.css
const around = 12; // rows that are drawn above and below what can be seen
const freshFor = 2500; // milliseconds for which a new row is marked

export class ListView {
  constructor(box, body) {
    this.box = box;
    this.body = body;
    this.pages = null;
    this.top = spacer();
    this.bottom = spacer();
    box.addEventListener("scroll", () => this.soon(), { passive: true });
    new ResizeObserver(() => this.soon()).observe(box);
  }

  // show shows other pages, from their beginning.
  show(pages) {
    this.pages = pages;
    this.box.scrollTop = 0;
    this.soon();
  }

  // moved keeps in place what is looked at when rows come or go above it.
  moved(index, by) {
    if (index < Math.floor(this.box.scrollTop / rowHeight)) this.box.scrollTop += by * rowHeight;
  }

  // soon draws before the next frame, once.
  soon() {
    this.due ??= requestAnimationFrame(() => {
      this.due = null;
      this.draw();
    });
  }

  draw() {
    if (this.pages === null) return;
    const known = this.pages.length;
    const first = Math.max(0, Math.floor(this.box.scrollTop / rowHeight) - around);
    const last = Math.min(known, Math.ceil((this.box.scrollTop + this.box.clientHeight) / rowHeight) + around);
    this.pages.near(first, last);
    const rows = [];
    for (let i = first; i < last; i++) rows.push(this.rowOf(i));
    height(this.top, first);
    height(this.bottom, Math.max(0, known - last) + (this.pages.more ? 1 : 0));
    this.body.replaceChildren(this.top, ...rows, this.bottom);
    this.body.parentElement.setAttribute("aria-rowcount", this.pages.more ? -1 : known + 1);
  }

  rowOf(index) {
    const e = this.pages.row(index);
    const row = document.createElement("tr");
    row.setAttribute("aria-rowindex", index + 2);
    if (e === null) {
      row.className = "loading";
      row.append(cell("name", "…"), cell("name", ""), cell("path", ""));
      return row;
    }
    const age = performance.now() - e.fresh;
    if (age < freshFor) {
      row.className = "fresh";
      row.style.setProperty("--age", `-${age}ms`);
    }
    row.append(cell("name", e.filename), cell("name", e.host), cell("path", e.directory));
    return row;
  }
}

function cell(kind, text) {
  const td = document.createElement("td");
  td.className = kind;
  td.textContent = visible(text);
  td.title = td.textContent;
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

function height(spacer, rows) {
  spacer.hidden = rows === 0;
  spacer.firstChild.style.height = `${rows * rowHeight}px`;
}
