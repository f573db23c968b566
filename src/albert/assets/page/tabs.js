// The tabs: one for each task that a model suits, and what is known of the models.

import { card } from "./card.js";
import { count, make } from "./dom.js";
import { taskPanel } from "./panel.js";
import { modelsFor } from "./tasks.js";

const at = (id) => document.getElementById(id);
const tabs = at("tabs");

/** Whether the tabs are there. */
export function built() {
  return tabs.children.length > 0;
}

/** Makes the tabs. `locked(error)` is called if the server needs a key. */
export function build(about, tasks, locked) {
  const [first] = about.models;
  at("title").textContent = about.models.length === 1 ? first.name : count(about.models.length, "model");
  document.title = `${at("title").textContent} · ${document.title}`;
  for (const task of tasks) {
    if (modelsFor(task, about.models).length) add(task.id, task.name, () => taskPanel(task, about, locked));
  }
  add("about", "About", () => aboutPanel(about));
  const wanted = tasks.find((task) => modelsFor(task, [first]).length);
  select(tabs.querySelector(`#tab-${CSS.escape(location.hash.slice(1) || wanted.id)}`) ?? at(`tab-${wanted.id}`));
  at("main").hidden = false;
}

/** A tab, and a panel whose content is made when it is first opened. */
function add(id, name, content) {
  const panel = make("div", { id: `panel-${id}`, role: "tabpanel", "aria-labelledby": `tab-${id}`, hidden: true });
  const tab = make("button", { id: `tab-${id}`, type: "button", role: "tab", "aria-controls": panel.id,
    "aria-selected": "false", tabindex: "-1", onclick: () => select(tab) }, name);
  tab.addEventListener("selected", () => panel.append(content()), { once: true });
  tabs.append(tab);
  at("panels").append(panel);
}

function select(tab) {
  for (const each of tabs.children) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", chosen);
    each.tabIndex = chosen ? 0 : -1;
    at(each.getAttribute("aria-controls")).hidden = !chosen;
  }
  tab.dispatchEvent(new Event("selected"));
  history.replaceState(null, "", `#${tab.id.replace("tab-", "")}`);
}

tabs.addEventListener("keydown", (event) => {
  const every = [...tabs.children];
  const now = every.indexOf(document.activeElement);
  const then = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: every.length - 1 }[event.key];
  if (now < 0 || then === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  const tab = every[(then + every.length) % every.length];
  select(tab);
  tab.focus();
});

function aboutPanel({ models, version }) {
  const panel = make("div", {});
  for (const model of models) {
    const facts = { task: model.task, "pieces at once": model.max_length.toLocaleString("en"), version };
    if (model.labels.length) facts.labels = model.labels.slice(0, 50).join(", ") + (model.labels.length > 50 ? ", …" : "");
    const rows = Object.entries(facts).map(([name, value]) =>
      make("div", {}, make("dt", {}, name), make("dd", { dir: "auto" }, value)));
    const said = model.card ? card(model.card) : make("p", {}, "There is no model card in its folder.");
    const open = models.length === 1;
    panel.append(make("details", { class: "card", open }, make("summary", {}, make("h2", {}, model.name)),
      make("dl", { class: "about" }, ...rows), said));
  }
  return panel;
}
