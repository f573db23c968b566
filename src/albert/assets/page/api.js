// Requests to the page's own server: the key, errors in plain words, retries, and the same request as curl.

/** What happens to a file. */
export const PRIVACY = "It is read here and sent to this server in batches.";

const KEY = "albert-key";
const WORDS = {
  0: "The server does not answer. Is it still running?",
  403: "The server does not allow that.",
  404: "The server does not have that model. Reload the page.",
  413: "That is more than the server accepts at once.",
  422: "The server could not read that.",
  424: "This model could not do that.",
  429: "The server is busy.",
  503: "The server is not ready, or it is stopping.",
  504: "The server did not answer in time.",
};
const STATUS = { Overloaded: 429, Unhealthy: 503, Timeout: 504 }; // of an error after the answer began
const PASSING = new Set([0, 429, 503, 504]);
const TRIES = 6; // of errors that pass by themselves, unless the server says when to try again

/** A request that failed: `status` 0 without any answer, `said` the server's words, `wait` its wish in seconds. */
export class ApiError extends Error {
  constructor(status, said = "", wait = undefined) {
    const words = status === 401 ? refused() : (WORDS[status] ?? `The server failed (${status}).`);
    super(said && status !== 401 ? `${words} It said: ${said}` : words);
    this.status = status;
    this.said = said || words;
    this.wait = wait;
  }
}

// A browser that forbids storage keeps the key for as long as the page is open.
let held = "";
try {
  held = sessionStorage.getItem(KEY) ?? "";
} catch {
  held = "";
}

function refused() {
  return held ? "The server did not accept this key." : "The server needs a key.";
}

/** Whether there is a key. */
export function hasKey() {
  return held !== "";
}

/** Keeps a key until the tab is closed; "" forgets it. */
export function keepKey(key) {
  held = key;
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch {
    return;
  }
}

/** `{value, seconds, header}` of a POST, or a GET without a body. Throws `ApiError`; a DOMException when aborted. */
export function call(path, body, signal) {
  return ask(path, body, signal, (response) => response.json());
}

/** As `call`, for an answer in events: `told(event, data)` is called for each one before the answer. */
export function stream(path, body, signal, told) {
  return ask(path, body, signal, (response) => lastEvent(response.body, told));
}

async function ask(path, body, signal, read) {
  const headers = held ? { Authorization: `Bearer ${held}` } : {};
  const options = { signal, headers, cache: "no-store", credentials: "omit" };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  }
  const begun = performance.now();
  let response, value;
  try {
    response = await fetch(address(path), options);
    value = await (response.ok ? read(response) : response.json());
  } catch (error) {
    if (error.name === "AbortError" || error instanceof ApiError) throw error;
    throw new ApiError(response && !response.ok ? response.status : 0);
  }
  if (!response.ok) throw new ApiError(response.status, value?.error, seconds(response.headers.get("retry-after")));
  return { value, seconds: (performance.now() - begun) / 1000, header: (name) => response.headers.get(name) };
}

async function lastEvent(body, told) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let left = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const events = (left + part.value).split("\n\n");
    left = events.pop();
    for (const event of events) {
      const [name, data] = event.split("\n").map((line) => line.slice(line.indexOf(" ") + 1));
      const value = JSON.parse(data);
      if (name === "answer") return value;
      if (name === "error") throw new ApiError(STATUS[value.error_type] ?? 424, value.error);
      told(name, value);
    }
  }
  throw new ApiError(0); // the connection broke
}

/** As `call`, but waits while the server is busy or away. Before each wait it calls `waiting(error, seconds)`. */
export async function patiently(path, body, signal, waiting) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await call(path, body, signal);
    } catch (error) {
      if (!(error instanceof ApiError) || !PASSING.has(error.status)) throw error;
      if (tries >= TRIES && error.wait === undefined) throw error;
      const wait = error.wait ?? 2 ** (tries - 1);
      waiting(error, wait);
      await pause(wait, signal);
    }
  }
}

/** The request as a shell command. It has $ALBERT_API_KEY in place of the key. */
export function curl(path, body) {
  const lines = [`curl -sS ${quoted(address(path))}`, "-H 'Content-Type: application/json'"];
  if (held) lines.push('-H "Authorization: Bearer $ALBERT_API_KEY"');
  lines.push(`--data-raw ${quoted(JSON.stringify(body))}`);
  return lines.join(" \\\n  ");
}

function address(path) {
  return new URL(path.slice(1), document.baseURI).href; // behind a proxy the page may not be at the root
}

function quoted(text) {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function seconds(header) {
  const told = Number.parseFloat(header ?? "");
  return Number.isFinite(told) && told >= 0 ? told : undefined;
}

function pause(wait, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * wait);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("aborted", "AbortError"));
    });
  });
}
