// The page of a model that runs in this browser.

import { call, ready } from "./api.js";
import { build } from "./tabs.js";
import { TASKS } from "./tasks.js";

const at = (id) => document.getElementById(id);

try {
  build((await call("/page/models")).value, TASKS);
  await ready;
  at("state").textContent = "It runs in this browser. Nothing is sent.";
} catch (error) {
  at("state").textContent = "";
  at("trouble").textContent = error.message;
}
