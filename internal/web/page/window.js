// A window on the list: the entries around the rows that are looked at, in a list
// that may have millions, and the number of all.

import { files, revisionOf } from "./api.js";

const pageSize = 400;
const margin = 200; // rows around those in view that are loaded ahead
const mostPages = 12; // pages that are kept
const overlap = 20; // rows that are loaded again, to see that none is missing between
const patience = 1000; // milliseconds before a load that failed is followed by another
const memory = 10_000; // milliseconds for which changes are kept, for answers that are older
const beyond = "\uffff"; // sorts after every key

export class Window {
  // query selects the list; changed is called when the window has changed, and
  // moved(index, by) when rows came before an index (by > 0) or went (by < 0).
  constructor(query, { changed, moved, failed }) {
    Object.assign(this, { query, changed, moved, failed });
    this.controller = new AbortController();
    this.pages = []; // {rows, end, next}: rows up to the key end; next is the cursor behind it
    this.begin = ""; // entries with a smaller key are before the window
    this.start = 0; // the number of entries before the window
    this.total = null; // the number of all entries, once it is known
    this.counted = false; // total is that of the version which the window follows
    this.asOf = { start: 0, total: 0 }; // the revisions at which the numbers were counted
    this.recent = []; // changes of the last seconds
    this.loading = null; // the load in progress
  }

  close() {
    this.controller.abort();
  }

  get end() {
    return this.pages.reduce((n, p) => n + p.rows.length, this.start);
  }

  get complete() {
    return this.pages.at(-1)?.next === null;
  }

  // length is the number of rows to make room for.
  get length() {
    return this.total ?? this.end + (this.complete ? 0 : 1);
  }

  // row returns the entry at an index, or null if it is not loaded.
  row(index) {
    index -= this.start;
    for (const p of this.pages) {
      if (index < p.rows.length) return p.rows[index] ?? null;
      index -= p.rows.length;
    }
    return null;
  }

  // open loads the beginning of the list, or the part that begins at a filename, and
  // returns the id of the version that it has.
  async open(from) {
    const where = from === undefined ? {} : { from };
    if (this.query.length === 0 || from !== undefined) where.count = "true";
    const got = await this.ask(where);
    this.recent = [];
    this.counted = false;
    this.replace(got, got.offset ?? 0);
    return got.id;
  }

  ask(where, limit = pageSize) {
    return files(this.query, { limit, ...where }, this.controller.signal);
  }

  // replace makes an answer the whole window.
  replace(got, start) {
    this.begin = start === 0 ? "" : got.entries[0]?.key ?? beyond;
    this.startIs(start, got.id);
    this.pages = [];
    this.append(got);
    if (got.count !== undefined) this.countIs(got.count, got.id);
    else if (start === 0 && this.complete) this.countIs(got.entries.length, got.id);
  }

  // startIs sets the number of entries before the window, as it was at a version.
  startIs(n, id) {
    this.start = n;
    this.asOf.start = revisionOf(id);
    if (this.begin === "") return;
    for (const c of this.recent) {
      if (c.revision > this.asOf.start) this.start += Math.sign(c.by) * c.entries.filter((e) => e.key < this.begin).length;
    }
  }

  // countIs sets the number of all entries, as it was at a version.
  countIs(n, id) {
    this.total = n;
    this.counted = true;
    this.asOf.total = revisionOf(id);
    for (const c of this.recent) if (c.revision > this.asOf.total) this.total += c.by;
  }

  append(got) {
    const end = got.next === null ? beyond : got.entries.at(-1).key;
    const last = this.pages.at(-1)?.end ?? null;
    const rows = this.update(got, last === null ? this.begin : last, end);
    this.pages.push({ rows: last === null ? rows : rows.filter((e) => e.key > last), end, next: got.next });
  }

  // update returns the entries of an answer with the changes that were told before it
  // came, from one key to another.
  update(got, from, to) {
    const rows = got.entries;
    for (const c of this.recent) {
      if (c.revision <= revisionOf(got.id)) continue;
      for (const e of c.entries) {
        if (e.key >= from && e.key <= to) (c.type === "add" ? insert : remove)(rows, e);
      }
    }
    return rows;
  }

  // count counts the list, if it is not counted yet.
  async count() {
    if (this.counted) return;
    const got = await this.ask({ count: "true" }, 1);
    this.countIs(got.count, got.id);
    this.changed();
  }

  // need loads the rows from first to last and some around them.
  need(first, last) {
    if (this.loading !== null || this.pages.length === 0) return;
    if (first > this.end + 2 * margin || last < this.start - 2 * margin) this.load(() => this.jump(Math.max(0, first - margin)));
    else if (last > this.end - margin && !this.complete) this.load(() => this.extendDown());
    else if (first < this.start + margin && this.start > 0) this.load(() => this.extendUp());
  }

  // load does one load after the other. After a failure the next one waits.
  async load(how) {
    const before = this.loading;
    const load = (async () => {
      await before?.catch(() => {});
      return how();
    })();
    this.loading = load;
    try {
      return await load;
    } catch (e) {
      if (e.name === "AbortError") return;
      this.failed(e);
      await new Promise((done) => setTimeout(done, patience));
    } finally {
      if (this.loading === load) this.loading = null;
      if (!this.controller.signal.aborted) this.changed();
    }
  }

  // from loads the rows that begin at a filename, and returns the index of the first.
  from(name) {
    return this.load(async () => {
      const got = await this.ask({ from: name, count: "true" });
      if (got.entries.length === 0) {
        await this.jump(got.count);
        return this.total - 1;
      }
      this.replace(got, got.offset);
      return this.start;
    });
  }

  // jump loads the rows at an offset, or the last ones.
  async jump(offset) {
    const got = await this.ask({ offset, count: "true" });
    if (got.entries.length < pageSize && got.count > got.entries.length && got.next === null && offset > got.count - pageSize) {
      return this.jump(Math.max(0, got.count - pageSize));
    }
    this.replace(got, got.offset);
  }

  async extendDown() {
    this.append(await this.ask({ after: this.pages.at(-1).next }));
    while (this.pages.length > mostPages && this.pages[1].rows.length > 0) {
      this.start += this.pages.shift().rows.length;
      this.begin = this.pages[0].rows[0].key;
    }
  }

  // extendUp loads the rows before the window and the first ones of it: without
  // those, some between might be missing.
  async extendUp() {
    const offset = Math.max(0, this.start - pageSize);
    const got = await this.ask({ offset }, this.start - offset + overlap);
    const end = got.next === null ? beyond : got.entries.at(-1).key;
    if (end < this.begin || got.entries.length === 0) return this.replace(got, offset);
    const { begin, start } = this;
    this.begin = offset === 0 ? "" : got.entries[0].key;
    const page = { rows: this.update(got, this.begin, end), end, next: got.next };
    this.pages = [page, ...this.pages.filter((p) => p.end > end)];
    if (this.pages.length > 1) this.pages[1].rows = this.pages[1].rows.filter((e) => e.key > end);
    while (this.pages.length > mostPages) this.pages.pop();
    this.startIs(offset, got.id);
    this.moved(this.start, this.start + search(page.rows, begin) - start);
  }

  // apply makes a change.
  apply(type, entries, id) {
    const revision = revisionOf(id);
    const change = { type, entries, revision, by: type === "add" ? entries.length : -entries.length, at: performance.now() };
    this.recent.push(change);
    while (this.recent[0].at < change.at - memory) this.recent.shift();
    if (this.total !== null && revision > this.asOf.total) this.total += change.by;
    for (const e of entries) this.applyEntry(type, e, revision);
    this.agree();
    this.changed();
  }

  // agree lets the numbers agree where both ends of the list are known.
  agree() {
    if (this.begin === "") this.start = 0;
    if (!this.complete || this.total === null || this.end === this.total) return;
    if (this.begin === "") this.total = this.end;
    else this.start = Math.max(0, this.total - (this.end - this.start));
  }

  applyEntry(type, e, revision) {
    const by = type === "add" ? 1 : -1;
    if (e.key < this.begin) {
      if (revision <= this.asOf.start) return;
      this.start = Math.max(0, this.start + by);
      this.moved(0, by);
      return;
    }
    let at = this.start;
    for (const p of this.pages) {
      if (e.key <= p.end) {
        const i = search(p.rows, e.key);
        if (by > 0) e.fresh = performance.now();
        if ((by > 0 ? insert : remove)(p.rows, e)) this.moved(at + i, by);
        return;
      }
      at += p.rows.length;
    }
  }
}

function insert(rows, e) {
  const i = search(rows, e.key);
  if (rows[i]?.key === e.key) return false;
  rows.splice(i, 0, e);
  return true;
}

function remove(rows, e) {
  const i = search(rows, e.key);
  if (rows[i]?.key !== e.key) return false;
  rows.splice(i, 1);
  return true;
}

// search returns the index of the first row whose key is not less.
function search(rows, key) {
  let lo = 0;
  let hi = rows.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (rows[mid].key < key) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}
