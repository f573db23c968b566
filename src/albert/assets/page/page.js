// The page: asks for the models, and for a key if the server needs one.

import { ApiError, call, hasKey, keepKey } from "./api.js";
import { DOCUMENTS } from "./documents.js";
import { build, built } from "./tabs.js";
import { TASKS } from "./tasks.js";

const at = (id) => document.getElementById(id);
const door = at("door");
const forget = at("forget");

async function open() {
  at("trouble").textContent = "";
  try {
    const { value } = await call("/page/models");
    door.hidden = true;
    forget.hidden = !hasKey();
    if (!built()) build(value, value.index ? [...DOCUMENTS, ...TASKS] : TASKS, locked);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) locked(hasKey() ? error : null);
    else at("trouble").textContent = error.message;
  }
}

/** Asks for a key. `error` is the answer to a request with the present key. */
function locked(error) {
  if (error) at("trouble").textContent = error.message;
  keepKey("");
  forget.hidden = true;
  door.hidden = false;
  at("key").focus();
}

door.addEventListener("submit", (event) => {
  event.preventDefault();
  const key = at("key").value.trim();
  at("key").value = "";
  if (!/^[\x21-\x7e]+$/.test(key)) {
    at("trouble").textContent = "This is not a key: a key has no spaces, accents or special characters.";
    return;
  }
  keepKey(key);
  open();
});

forget.addEventListener("click", () => {
  keepKey("");
  location.reload(); // removes everything that was shown
});

open();
