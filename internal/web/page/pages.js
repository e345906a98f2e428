// The part of the list that is known: pages of entries that follow each other.
// What lies far from what is looked at is forgotten and asked for again, so that
// a list of millions can be walked in little memory.

import { files } from "./api.js";

const pageSize = 400;
const keepAround = 4; // pages on each side of what is looked at

const beyond = "\uffff"; // sorts after every key

export class Pages {
  // query selects the list; changed is called when what is known has changed.
  constructor(query, changed) {
    this.query = query;
    this.changed = changed;
    this.pages = []; // {after, end, rows or null, count, loading}
    this.next = null; // the cursor behind the last page
    this.more = true; // there may be entries behind the last page
    this.controller = new AbortController();
  }

  get length() {
    return this.pages.reduce((n, p) => n + p.count, 0);
  }

  // open loads the first page and returns the moment that it shows.
  async open() {
    const first = await this.ask(null);
    this.append(null, first);
    return first.id;
  }

  close() {
    this.controller.abort();
  }

  ask(after, limit = pageSize) {
    return files(this.query, after, limit, this.controller.signal);
  }

  append(after, got) {
    const rows = got.entries;
    this.next = got.next;
    this.more = got.next !== null;
    this.pages.push({ after, rows, count: rows.length, end: this.more ? rows.at(-1).key : beyond });
    this.changed();
  }

  // row returns the entry at an index, or null when it is not at hand.
  row(index) {
    for (const p of this.pages) {
      if (index < p.count) return p.rows?.[index] ?? null;
      index -= p.count;
    }
    return null;
  }

  // near loads the pages around the rows from first to last, and forgets those
  // that are far from them.
  near(first, last) {
    let at = 0;
    let from = this.pages.length;
    let to = -1;
    this.pages.forEach((p, i) => {
      if (at + p.count > first && at <= last) {
        from = Math.min(from, i);
        to = Math.max(to, i);
      }
      at += p.count;
    });
    this.pages.forEach((p, i) => {
      if (i >= from - 1 && i <= to + 1) this.reload(p);
      else if (i < from - keepAround || i > to + keepAround) p.rows = null;
    });
    if (this.more && last >= this.length - pageSize / 2) this.extend();
  }

  async extend() {
    if (this.extending || this.next === null) return;
    this.extending = true;
    try {
      this.append(this.next, await this.ask(this.next));
    } catch (e) {
      this.failed(e);
    } finally {
      this.extending = false;
    }
  }

  // reload asks again for a page that was forgotten: for all up to its end, for
  // that is where the next one begins.
  async reload(p) {
    if (p.rows !== null || p.loading) return;
    p.loading = true;
    try {
      let after = p.after;
      const rows = [];
      do {
        const got = await this.ask(after, Math.max(pageSize, p.count + 1));
        rows.push(...got.entries.filter((e) => e.key <= p.end));
        after = rows.length === 0 || got.entries.at(-1).key > p.end ? null : got.next;
      } while (after !== null);
      p.rows = rows;
      p.count = rows.length;
      this.changed();
    } catch (e) {
      this.failed(e);
    } finally {
      p.loading = false;
    }
  }

  failed(e) {
    if (e.name !== "AbortError") this.error?.(e);
  }

  // apply makes a change. It calls moved(index, by) for each row that came (by
  // is 1) or went (-1).
  apply(type, entries, moved) {
    for (const e of entries) {
      let at = 0;
      const p = this.pages.find((p) => e.key <= p.end || !(at += p.count, true));
      if (p === undefined) continue; // behind what is known
      const by = type === "add" ? this.insert(p, e) : this.remove(p, e);
      if (by !== 0) moved(at + (p.rows === null ? 0 : search(p.rows, e.key)), by);
    }
    this.changed();
  }

  insert(p, e) {
    if (p.rows !== null) {
      const i = search(p.rows, e.key);
      if (p.rows[i]?.key === e.key) return 0;
      e.fresh = performance.now();
      p.rows.splice(i, 0, e);
    }
    p.count++;
    return 1;
  }

  remove(p, e) {
    if (p.rows !== null) {
      const i = search(p.rows, e.key);
      if (p.rows[i]?.key !== e.key) return 0;
      p.rows.splice(i, 1);
    }
    p.count = Math.max(0, p.count - 1);
    return -1;
  }
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
