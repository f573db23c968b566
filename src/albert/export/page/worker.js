// The worker: loads the model, then answers.

import { answer } from "./answers.js";
import { open } from "./lite.js";

const model = load();
model.catch(() => {}); // a failure is told to the page when it asks, which may be later

self.onmessage = async ({ data: { id, path, body } }) => {
  try {
    const opened = await model;
    self.postMessage({ id, ...(path === "open" ? {} : answer(opened, path, body)) });
  } catch (error) {
    self.postMessage({ id, error: error.message, code: error.code });
  }
};

async function load() {
  const about = await (await fetched("../model/about.json")).json();
  const paths = ["albert_lite.wasm.gz", ...about.files.map((name) => `../model/${name}`)];
  const [binary, ...files] = await Promise.all(paths.map(read));
  const named = about.files.map((name, i) => [name.replace(/\.gz$/, ""), files[i]]);
  return open(binary, Object.fromEntries(named), about.precision);
}

async function fetched(path) {
  const response = await fetch(new URL(path, import.meta.url));
  if (!response.ok) throw new Error(`The model cannot be loaded: the server said ${response.status} to ${path}.`);
  return response;
}

/** The bytes of a file. Some servers unpack a .gz themselves. */
async function read(path) {
  const file = await (await fetched(path)).blob();
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  if (first !== 0x1f || second !== 0x8b) return new Uint8Array(await file.arrayBuffer());
  const unpacked = file.stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}
