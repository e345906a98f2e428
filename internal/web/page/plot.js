// A line over time, with an axis, and the value at the pointer or the cursor.

const width = 600; // of the drawing, which is stretched to its place
const height = 100;
const longest = 3_600_000; // milliseconds that are kept
const gap = 15_000; // milliseconds without a value that break the line
const marks = 4; // parts of the time axis

export class Plot {
  // figure has a .plot to draw in. format writes a value for people.
  constructor(figure, label, format) {
    Object.assign(this, { format, points: [], span: 60_000, chosen: null });
    this.box = figure.querySelector(".plot");
    this.svg = element("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.axis = document.createElement("div");
    this.axis.className = "axis";
    this.high = text("high");
    this.low = text("low");
    this.tip = text("tip");
    const scale = document.createElement("div");
    scale.className = "scale";
    scale.append(this.high, this.low);
    this.box.append(this.svg, this.tip);
    this.box.before(scale);
    this.box.after(this.axis);
    for (const [name, value] of Object.entries({ role: "slider", tabindex: 0, "aria-label": label, "aria-valuemin": 0 })) this.box.setAttribute(name, value);
    this.draw();
    this.box.addEventListener("pointermove", (e) => this.point(e));
    this.box.addEventListener("pointerdown", (e) => this.point(e));
    this.box.addEventListener("pointerleave", () => this.choose(null));
    this.box.addEventListener("blur", () => this.choose(null));
    this.box.addEventListener("focus", () => this.choose(this.points.length - 1));
    this.box.addEventListener("keydown", (e) => this.key(e));
  }

  add(value, at = Date.now()) {
    this.points.push({ at, value });
    while (this.points[0].at < at - longest) {
      this.points.shift();
      if (this.chosen !== null) this.chosen = Math.max(0, this.chosen - 1);
    }
    this.draw();
  }

  // show sets the time that is shown, in milliseconds.
  show(span) {
    this.span = span;
    this.draw();
  }

  draw() {
    const to = this.points.at(-1)?.at ?? Date.now();
    const from = to - this.span;
    const points = this.points.filter((p) => p.at >= from - gap);
    const values = points.map((p) => p.value);
    const least = Math.min(...values);
    const most = Math.max(...values);
    this.from = from;
    const flat = !(most > least); // a line from zero
    this.scale = { low: flat ? Math.min(0, least) : least, high: flat ? most || 1 : most };
    this.svg.replaceChildren(...this.grid(), ...(points.length > 0 ? this.line(points) : []));
    this.high.textContent = most > this.scale.low ? this.format(most) : "";
    this.low.textContent = values.length > 0 ? this.format(this.scale.low) : "";
    this.drawAxis(from, to);
    this.drawTip();
    const now = this.points.at(-1);
    this.box.setAttribute("aria-valuemax", Math.max(1, this.points.length - 1));
    this.box.setAttribute("aria-valuenow", this.chosen ?? Math.max(0, this.points.length - 1));
    this.box.setAttribute("aria-valuetext", this.chosen !== null ? this.said(this.points[this.chosen])
      : now ? `between ${this.format(least)} and ${this.format(most)}, now ${this.format(now.value)}` : "no value yet");
  }

  x(at) {
    return (width * (at - this.from)) / this.span;
  }

  y(value) {
    return height - 4 - ((height - 8) * (value - this.scale.low)) / (this.scale.high - this.scale.low);
  }

  grid() {
    return Array.from({ length: marks - 1 }, (_, i) => {
      const x = (width * (i + 1)) / marks;
      return element("path", { class: "mark", d: `M${x} 0V${height}` });
    });
  }

  line(points) {
    let d = "";
    let area = "";
    let begun = null;
    points.forEach((p, i) => {
      const broken = i === 0 || p.at - points[i - 1].at > gap;
      if (broken && begun !== null) area += `L${this.x(points[i - 1].at).toFixed(1)} ${height}L${begun} ${height}Z`;
      if (broken) begun = this.x(p.at).toFixed(1);
      const to = `${broken ? "M" : "L"}${this.x(p.at).toFixed(1)} ${this.y(p.value).toFixed(1)}`;
      d += to;
      area += to;
    });
    area += `L${this.x(points.at(-1).at).toFixed(1)} ${height}L${begun} ${height}Z`;
    return [element("path", { class: "area", d: area }), element("path", { class: "line", d })];
  }

  drawAxis(from, to) {
    const labels = Array.from({ length: marks + 1 }, (_, i) => clock(from + ((to - from) * i) / marks, this.span));
    if (labels.join() === this.labels) return;
    this.labels = labels.join();
    this.axis.replaceChildren(...labels.map((label) => Object.assign(document.createElement("span"), { textContent: label })));
  }

  // point chooses the value that is nearest to the pointer.
  point(e) {
    const box = this.box.getBoundingClientRect();
    const at = this.from + ((e.clientX - box.left) / box.width) * this.span;
    let best = null;
    this.points.forEach((p, i) => {
      if (p.at >= this.from && (best === null || Math.abs(p.at - at) < Math.abs(this.points[best].at - at))) best = i;
    });
    this.choose(best);
  }

  key(e) {
    const last = this.points.length - 1;
    const first = this.points.findIndex((p) => p.at >= this.from);
    const to = { ArrowLeft: this.chosen - 1, ArrowDown: this.chosen - 1, ArrowRight: this.chosen + 1, ArrowUp: this.chosen + 1,
      PageDown: this.chosen - 10, PageUp: this.chosen + 10, Home: first, End: last }[e.key];
    if (e.key === "Escape") this.choose(null);
    if (to === undefined || last < 0) return;
    e.preventDefault();
    this.choose(Math.min(Math.max(to, first), last));
  }

  choose(index) {
    this.chosen = index !== null && index >= 0 ? index : null;
    this.draw();
  }

  said(p) {
    return `${this.format(p.value)} at ${clock(p.at, 0)}`;
  }

  drawTip() {
    const p = this.chosen === null ? null : this.points[this.chosen];
    this.tip.hidden = !p || p.at < this.from;
    if (this.tip.hidden) return;
    this.svg.append(element("path", { class: "cursor", d: `M${this.x(p.at).toFixed(1)} 0V${height}` }));
    this.tip.textContent = this.said(p);
    const part = this.x(p.at) / width;
    this.tip.style.left = `${100 * part}%`;
    this.tip.style.transform = `translateX(${-100 * part}%)`;
  }
}

function clock(at, span) {
  const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (span < 600_000) options.second = "2-digit";
  return new Date(at).toLocaleTimeString(undefined, options);
}

function text(kind) {
  return Object.assign(document.createElement("span"), { className: kind });
}

function element(name, attributes) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  return e;
}
