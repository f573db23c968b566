// One tab: its fields, the answer while the user types, the request as curl, and the part for files.

import { ApiError, call, curl } from "./api.js";
import { filePart } from "./batch.js";
import { make } from "./dom.js";
import { modelsFor } from "./tasks.js";

const PAUSE = 250; // milliseconds without a keystroke before the server is asked
const LINES = 4;

/** The panel of a task. `locked(error)` is called if the server needs another key. */
export function taskPanel(task, about, locked) {
  return new Panel(task, about, locked).node;
}

class Panel {
  constructor(task, about, locked) {
    this.task = task;
    this.locked = locked;
    this.models = modelsFor(task, about.models);
    this.model = this.models[0];
    this.several = about.models.length > 1 && !task.index;
    this.asking = null; // aborts the request under way
    this.timer = 0;
    this.inputs = new Map();
    this.said = make("p", { class: "said", role: "status" });
    this.picture = make("div", { class: "picture" });
    this.facts = make("p", { class: "facts" });
    this.trouble = make("p", { class: "trouble", role: "alert" });
    this.command = make("pre", { role: "region", tabindex: "0", "aria-label": "The request as curl" });
    this.json = make("pre", { role: "region", tabindex: "0", "aria-label": "The answer as JSON" });
    this.raw = make("details", { class: "raw" }, make("summary", {}, "Request and answer"), this.command, this.json);
    this.node = make("div", {}, make("div", { class: "beside" }, this.form(), this.result()));
    if (task.rows) this.node.append(filePart(task, about, () => this.model, locked));
    this.refresh();
  }

  form() {
    const form = make("form", { class: "card", onsubmit: (event) => { event.preventDefault(); this.ask(); } });
    if (this.several) form.append(this.chooser());
    for (const field of this.task.fields) form.append(this.field(field));
    form.addEventListener("input", () => this.changed());
    const example = make("button", { type: "button", onclick: () => this.fillIn() }, "Try an example");
    form.append(make("div", { class: "row" }, make("button", { type: "submit", class: "primary" }, "Ask"),
      ...(this.task.fields.some((field) => field.example) ? [example] : [])));
    return form;
  }

  chooser() {
    const id = `${this.task.id}-model`;
    const options = this.models.map((model) => make("option", { value: model.name }, model.name));
    const choose = () => { this.model = this.models[select.selectedIndex]; }; // the form's own handler asks again
    const select = make("select", { id, oninput: choose }, ...options);
    return make("div", { class: "field" }, make("label", { for: id }, "Model"), select);
  }

  field(field) {
    const id = `${this.task.id}-${field.key}`;
    const input = field.kind === "number"
      ? make("input", { id, type: "number", min: field.least, max: field.most, value: field.start })
      : field.kind === "line"
        ? make("input", { id, type: "text", dir: "auto", autocomplete: "off" })
        : make("textarea", { id, dir: "auto", rows: field.rows ?? LINES });
    this.inputs.set(field.key, input);
    const label = make("label", { for: id }, field.label);
    const parts = [label, input];
    if (field.insert) {
      parts.push(make("button", { type: "button", class: "quiet", onclick: () => {
        input.setRangeText(field.insert, input.selectionStart, input.selectionEnd, "end");
        input.focus();
        this.changed();
      } }, `Insert ${field.insert}`));
    }
    if (!field.folded?.(this.model)) return make("div", { class: "field" }, ...parts);
    input.setAttribute("aria-label", field.label);
    return make("details", { class: "field" }, make("summary", {}, field.label), input);
  }

  result() {
    this.copied = make("span", { class: "facts", role: "status" });
    this.copying = make("button", { type: "button", onclick: () => this.copy() }, "Copy as curl");
    return make("section", { class: "card result", "aria-label": "Result" },
      make("h2", {}, "Result"), this.trouble, this.said, this.picture, this.facts,
      make("div", { class: "row" }, this.copying, this.copied), this.raw);
  }

  /** The values of the fields: texts, lists of lines that are not blank, numbers. */
  values() {
    const read = ({ key, kind }) => {
      const input = this.inputs.get(key);
      if (kind === "number") return input.checkValidity() ? input.valueAsNumber : 0;
      if (kind === "lines") return input.value.split("\n").map((line) => line.trim()).filter(Boolean);
      return input.value.trim() ? input.value : "";
    };
    return Object.fromEntries(this.task.fields.map((field) => [field.key, read(field)]));
  }

  request(values = this.values()) {
    const body = this.task.body(values, this.model);
    return body && this.several ? { ...body, model: this.model.name } : body;
  }

  fillIn() {
    for (const { key, example } of this.task.fields) {
      if (example) this.inputs.get(key).value = typeof example === "function" ? example(this.model) : example;
    }
    this.refresh();
  }

  changed() {
    clearTimeout(this.timer);
    this.refresh({ later: true });
  }

  /** Asks again, now or in a moment. If an input is missing, clears the result. */
  refresh({ later = false } = {}) {
    const body = this.request();
    this.copying.disabled = !body;
    this.copied.textContent = "";
    this.raw.hidden = !body;
    this.command.textContent = body ? curl(this.task.endpoint, body) : "";
    if (!body) {
      this.asking?.abort();
      this.asking = null;
      this.clear("The result comes while you type.");
      this.said.classList.add("idle");
    } else if (later) this.timer = setTimeout(() => this.ask(), PAUSE);
    else this.ask();
  }

  async ask() {
    clearTimeout(this.timer);
    this.asking?.abort();
    const values = this.values();
    const body = this.request(values);
    if (!body) return;
    const model = this.model;
    const asking = (this.asking = new AbortController());
    this.picture.setAttribute("aria-busy", "true");
    try {
      const answer = await call(this.task.endpoint, body, asking.signal);
      if (this.asking === asking) this.show(answer, values, model);
    } catch (error) {
      if (this.asking === asking && error.name !== "AbortError") this.failed(error);
    }
  }

  show({ value, seconds, header }, values, model) {
    this.clear("");
    this.said.textContent = this.task.say(value, values, model);
    this.picture.replaceChildren(...this.task.show(value, values, model));
    const facts = [`${Math.round(1000 * seconds)} ms`];
    if (Number(header("x-inference-time"))) facts[0] += `, ${header("x-inference-time")} of them in the model`;
    if (Number(header("x-compute-tokens"))) facts.push(`${header("x-compute-tokens")} pieces`);
    if (Number(header("x-truncated-inputs"))) facts.push("longer than the model reads, so its end was left out");
    this.facts.textContent = facts.join(" · ");
    this.json.textContent = JSON.stringify(value, null, 1);
  }

  failed(error) {
    if (!(error instanceof ApiError)) throw error;
    this.clear("");
    this.trouble.textContent = error.message;
    if (error.status === 401) this.locked(error);
    if (error.status === 429) {
      const wait = error.wait ?? 1;
      this.trouble.textContent += ` Asking again in ${wait} s.`;
      this.timer = setTimeout(() => this.ask(), 1000 * wait);
    }
  }

  clear(words) {
    this.picture.removeAttribute("aria-busy");
    this.picture.replaceChildren();
    this.trouble.textContent = "";
    this.said.textContent = words;
    this.said.classList.remove("idle");
    this.facts.textContent = "";
    this.json.textContent = "";
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.command.textContent);
      this.copied.textContent = "Copied.";
    } catch { // not over plain HTTP from another machine, or forbidden
      this.raw.open = true;
      getSelection().selectAllChildren(this.command);
      this.copied.textContent = "Selected below: copy it from there.";
    }
  }
}
