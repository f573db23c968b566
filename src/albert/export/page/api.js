// The server's requests without a server: a worker answers them, one at a time. Nothing is sent.

/** What happens to a file. */
export const PRIVACY = "It is read and scored in this browser. Nothing is sent.";

/** No server could be asked from a shell. */
export const curl = null;

const OF_INPUT = 65; // albert-lite's code of what is wrong with a text
const TOO_OLD = "This browser cannot run the model: it needs WebAssembly with SIMD, in a worker.";

/** A request that failed, as the server's page has it. */
export class ApiError extends Error {
  constructor(message, code) {
    super(message);
    this.status = code === OF_INPUT ? 422 : 424;
    this.said = message;
  }
}

const waiting = new Map(); // by number: what settles the promise
let last = Promise.resolve();
let asked = 0;

const worker = started();

/** Settles when the model is open. */
export const ready = posted("open");
ready.catch(() => {}); // whoever waits for it is told

/** `{value, seconds, header}` of a request. Throws `ApiError`; a DOMException when aborted. */
export async function call(path, body, signal) {
  if (path === "/page/models") return { value: await about() };
  await ready;
  const turn = () => asking(path, body, signal);
  return (last = last.then(turn, turn));
}

export const patiently = call; // a worker is never too busy

/** No model writes here. */
export function stream() {
  throw new ApiError("No model writes here.");
}

async function asking(path, body, signal) {
  signal?.throwIfAborted(); // its turn never came
  const begun = performance.now();
  const { value, cut } = await posted(path, body);
  signal?.throwIfAborted();
  const headers = { "x-truncated-inputs": cut };
  return { value, seconds: (performance.now() - begun) / 1000, header: (name) => headers[name] };
}

function posted(path, body) {
  return new Promise((resolve, reject) => {
    waiting.set((asked += 1), { resolve, reject });
    worker.postMessage({ id: asked, path, body });
  });
}

/** A worker from a blob has this page's policy. One from a file would have none. */
function started() {
  const source = `import ${JSON.stringify(new URL("worker.js", import.meta.url).href)};`;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const made = new Worker(url, { type: "module" });
  made.onmessage = ({ data: { id, error, code, ...answer } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(answer);
    else reject(new ApiError(code === undefined && error.startsWith("WebAssembly") ? TOO_OLD : error, code));
  };
  made.onerror = () => {
    for (const { reject } of waiting.values()) reject(new ApiError(TOO_OLD));
    waiting.clear();
  };
  return made;
}

async function about() {
  const response = await fetch(new URL("../model/about.json", import.meta.url));
  if (!response.ok) throw new ApiError(`The model cannot be loaded: the server said ${response.status}.`);
  return response.json();
}
