// Copying and downloading what is selected.

import { address, ask, hasToken } from "./api.js";

const mostCopied = 100_000; // lines

// copyPaths copies the paths of the selected files, and returns what it has done.
export async function copyPaths(query) {
  const answer = await ask(address(query, { limit: mostCopied }, "txt"));
  const text = await answer.text();
  await copy(text);
  const n = text.split("\n").length - 1;
  const more = answer.headers.get("Link") !== null;
  return `Copied ${more ? "the first " : ""}${n.toLocaleString()} ${n === 1 ? "path" : "paths"}${more ? "; download the list to have them all" : ""}.`;
}

// copy copies a text, also where the page did not come over TLS.
export async function copy(text) {
  if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text);
  const area = Object.assign(document.createElement("textarea"), { value: text, className: "visually-hidden" });
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("the browser does not let this page copy");
}

// followWithToken follows a link with the token, which a link cannot send: it
// fetches the target and opens or saves what came. Without a token the browser
// follows the link.
export async function followWithToken(event) {
  if (!hasToken()) return;
  event.preventDefault();
  const link = event.currentTarget;
  const answer = await ask(link.getAttribute("href"));
  const url = URL.createObjectURL(await answer.blob());
  const a = Object.assign(document.createElement("a"), { href: url });
  if (link.download) a.download = link.download;
  else Object.assign(a, { target: "_blank", rel: "noopener" });
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
