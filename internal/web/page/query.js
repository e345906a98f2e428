// What a person types, as conditions of /files and as the address of the page.

// conditions returns {query} for what is typed, or {nothing} with the reason why
// nothing can match. directories are those of all scouts.
export function conditions({ name, host, ignoreCase }, directories) {
  const query = host ? [["host", host]] : [];
  if (ignoreCase) query.push(["ignore_case", "true"]);
  if (!name.startsWith("/")) return { query: [...query, ...nameConditions(name)] };
  const found = pathConditions(name, directories);
  return found.length > 0 ? { query: [...query, ...found] } : { nothing: `No scout watches a directory that can hold ${name}.` };
}

// nameConditions are those for a name, a part of it, a prefix or a pattern.
function nameConditions(name) {
  if (name === "") return [];
  if (name.startsWith("^")) return [["prefix", name.slice(1)]];
  if (/[*?[{]/.test(name)) return [["match", name]];
  return [["match", `**/*${literal(name)}*`], ["match", `**/*${literal(name)}*/**`]];
}

const most = 100; // directories in one query

// pathConditions are those for an absolute path: filenames are relative to the
// directories of scouts. While a path is typed it may be above them.
function pathConditions(path, directories) {
  const inside = directories.filter((d) => path === d || path.startsWith(slashed(d)));
  const above = inside.length > 0 ? [] : directories.filter((d) => d.startsWith(path));
  const rests = new Set(inside.map((d) => path.slice(slashed(d).length)).filter((rest) => rest !== ""));
  return [
    ...[...inside, ...above].slice(0, most).map((d) => ["directory", d]),
    ...(inside.some((d) => path.length <= slashed(d).length) ? [] : [...rests].map((rest) => [/[*?[{]/.test(rest) ? "match" : "prefix", rest])),
  ];
}

function slashed(directory) {
  return directory.endsWith("/") ? directory : `${directory}/`;
}

function literal(text) {
  return text.replace(/[\\*?[\]{}]/g, "\\$&");
}

// fromAddress returns what an address of the page asks for.
export function fromAddress(search) {
  const q = new URLSearchParams(search);
  return { name: q.get("name") ?? "", host: q.get("host") ?? "", ignoreCase: q.get("ignore_case") === "true" };
}

// toAddress is the inverse of fromAddress.
export function toAddress({ name, host, ignoreCase }) {
  const q = new URLSearchParams();
  if (name) q.set("name", name);
  if (host) q.set("host", host);
  if (ignoreCase) q.set("ignore_case", "true");
  return q.size > 0 ? `?${q}` : "";
}
