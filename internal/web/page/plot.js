// A small line over the last ten minutes, or over as much of them as is known.

const longest = 600_000; // milliseconds
const shortest = 60_000;
const width = 300; // of the drawing, which is stretched to its place
const height = 80;

export class Plot {
  // figure has a svg, and elements of the classes high, low and now.
  constructor(figure, format) {
    this.svg = figure.querySelector("svg");
    this.high = figure.querySelector(".high");
    this.low = figure.querySelector(".low");
    this.now = figure.querySelector(".now");
    this.format = format;
    this.points = []; // {at, value}
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
  }

  add(value, at = Date.now()) {
    this.points.push({ at, value });
    while (this.points[0].at < at - longest) this.points.shift();
    this.draw();
  }

  draw() {
    const values = this.points.map((p) => p.value);
    const least = Math.min(...values);
    const most = Math.max(...values);
    const low = most > least ? least : Math.max(0, least - 1);
    const high = most > least ? most : most + 1;
    const last = this.points.at(-1).at;
    const span = Math.max(shortest, last - this.points[0].at);
    const x = (p) => (width * (1 - (last - p.at) / span)).toFixed(1);
    const y = (p) => (height - 4 - ((height - 8) * (p.value - low)) / (high - low)).toFixed(1);
    const line = this.points.map((p, i) => `${i ? "L" : "M"}${x(p)} ${y(p)}`).join("");
    this.svg.replaceChildren(
      path("area", `${line}L${width} ${height}L${x(this.points[0])} ${height}Z`),
      path("line", line),
    );
    this.high.textContent = this.format(most);
    this.low.textContent = most > least ? this.format(least) : "";
    this.now.textContent = `Between ${this.format(least)} and ${this.format(most)}, now ${this.format(values.at(-1))}.`;
  }
}

function path(kind, d) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", "path");
  e.setAttribute("class", kind);
  e.setAttribute("d", d);
  return e;
}
