// A program as a consumer would write it, with the types of openapi.json. It uses
// every answer without narrowing its type or casting it.

import createClient from "openapi-fetch";
import type { components, paths } from "./openapi.js";

declare const process: { argv: string[] };

type File = components["schemas"]["File"];
type Event = components["schemas"]["Event"];

const baseUrl = process.argv[2] ?? "http://localhost:3001";
const scoutmaster = createClient<paths>({ baseUrl });

function name(f: File): string {
  return f.filename_base64 === undefined ? f.filename : atob(f.filename_base64);
}

// Pages.
let after: string | undefined;
do {
  const { data, error } = await scoutmaster.GET("/files", {
    params: { query: { match: ["**/*.log"], ignore_case: true, limit: 1, count: true, ...(after === undefined ? {} : { after }) } },
  });
  if (error) throw new Error(`${error.type}: ${error.detail}`);
  for (const f of data.files) console.log(`page: ${f.host} ${name(f)}, of ${data.count}`);
  after = data.next;
} while (after !== undefined);

// A complete list, and the state of the scouts.
const fresh = await scoutmaster.GET("/files", { params: { query: { fresh: "5s" } } });
console.log(`unconfirmed: ${fresh.data?.unconfirmed?.length}`);
const fleet = await scoutmaster.GET("/scouts");
for (const s of fleet.data?.scouts ?? []) console.log(`scout: ${s.host} ${s.state}`);

// Text.
const text = await scoutmaster.GET("/files.txt", { parseAs: "text" });
const lines: string[] = text.data?.trimEnd().split("\n") ?? [];
console.log(`text: ${lines.length} lines`);

// A mistake.
const mistake = await scoutmaster.GET("/files", { params: { query: { match: ["["] } } });
console.log(`mistake: ${mistake.error?.status} ${mistake.error?.type}`);

// Changes, until the first.
function apply(e: Event): string {
  switch (e.event) {
    case "reset":
    case "add":
    case "remove":
      return `${e.event}: ${e.files.map(name).join(" ")}`;
    case "heartbeat":
      return `heartbeat: ${e.id}`;
  }
}

const changes = await scoutmaster.GET("/files.ndjson", { params: { query: { watch: true } }, parseAs: "stream" });
const reader = changes.response.body === null ? undefined : changes.data?.pipeThrough(new TextDecoderStream()).getReader();
let line = "";
while (reader !== undefined && !line.includes("\n")) line += (await reader.read()).value ?? "\n";
await reader?.cancel();
console.log(apply(JSON.parse(line)));
