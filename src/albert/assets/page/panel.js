// One tab: its fields, the answer while the user types, the request as curl, and the part for files.

import { ApiError, call, curl, stream } from "./api.js";
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
    this.answer = []; // the one that is shown, or what there is of it
    this.asking = null; // aborts the request under way
    this.timer = 0;
    this.inputs = new Map();
    this.said = make("p", { class: "said", role: "status" });
    this.picture = make("div", { class: "picture" });
    this.facts = make("p", { class: "facts" });
    this.trouble = make("p", { class: "trouble", role: "alert" });
    this.command = make("pre", { role: "region", tabindex: "0", "aria-label": "The request as curl" });
    this.json = make("pre", { role: "region", tabindex: "0", "aria-label": "The answer as JSON" });
    this.raw = make("details", { class: "raw" }, make("summary", {}, curl ? "Request and answer" : "The answer as JSON"), this.command, this.json);
    this.node = make("div", {}, make("div", { class: "beside" }, this.form(), this.result()));
    if (task.rows) this.node.append(filePart(task, about, () => this.model, () => this.values(), locked));
    this.refresh();
  }

  form() {
    const form = (this.sheet = make("form", { class: "card",
      onsubmit: (event) => { event.preventDefault(); this.ask(); } }));
    if (this.several) form.append(this.chooser());
    const options = this.task.fields.filter((field) => field.option);
    for (const field of this.task.fields) if (!field.option) form.append(this.field(field));
    if (options.length) {
      form.append(make("details", { class: "field options" }, make("summary", {}, "Options"),
        make("div", { class: "row columns" }, ...options.map((field) => this.field(field)))));
    }
    form.addEventListener("input", () => this.changed());
    form.addEventListener("keydown", (event) => this.pressed(event));
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
    const input = this.input(id, field);
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

  input(id, { kind, least, most, start, step, rows, choices }) {
    if (kind === "number") {
      return make("input", { id, type: "number", min: least, max: most, value: start, step, required: true });
    }
    if (kind === "line") return make("input", { id, type: "text", dir: "auto", autocomplete: "off" });
    if (kind === "choice") {
      return make("select", { id }, ...choices.map(([value, label]) => make("option", { value }, label)));
    }
    return make("textarea", { id, dir: "auto", rows: rows ?? LINES });
  }

  /** Control and Enter ask at once; Escape stops what is being written. */
  pressed(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.ask();
    else if (event.key === "Escape") this.stop();
    else return;
    event.preventDefault();
  }

  result() {
    this.copied = make("span", { class: "facts", role: "status" });
    this.copying = make("button", { type: "button", hidden: !curl,
      onclick: () => this.copy(this.command.textContent, this.command) }, "Copy as curl");
    return make("section", { class: "card result", "aria-label": "Result" },
      make("h2", {}, "Result"), this.trouble, this.said, this.picture, this.facts,
      make("div", { class: "row" }, ...this.buttons(), this.copying, this.copied), this.raw);
  }

  /** The buttons of answers that can be stopped and copied. */
  buttons() {
    this.ending = make("button", { type: "button", hidden: true, onclick: () => this.stop() }, "Stop");
    this.taking = make("button", { type: "button", hidden: true,
      onclick: () => this.copy(this.task.copy(this.answer), this.picture) }, "Copy the text");
    return [this.ending, this.taking];
  }

  /** The values of the fields: texts, lists of lines that are not blank, numbers. */
  values() {
    const read = ({ key, kind }) => {
      const input = this.inputs.get(key);
      if (kind === "number") return input.checkValidity() ? input.valueAsNumber : NaN;
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
    const values = this.values();
    for (const { key, when } of this.task.fields) if (when) this.count(key, when(values));
    const body = this.request(values);
    this.copying.disabled = !body;
    this.copied.textContent = "";
    this.raw.hidden = !body;
    this.command.textContent = body && curl ? curl(this.task.endpoint, body) : "";
    if (!body) {
      this.asking?.abort();
      this.asking = null;
      this.clear(this.sheet.checkValidity() ? "The result comes while you type." : "A number is missing or too far.");
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
    this.answer = [];
    const told = (event, data) => { if (this.asking === asking) this.grow(event, data, values, model); };
    const { endpoint } = this.task;
    try {
      const answer = await (this.task.stream
        ? stream(endpoint, { ...body, stream: true }, asking.signal, told) : call(endpoint, body, asking.signal));
      if (this.asking === asking) this.show(answer, values, model);
    } catch (error) {
      if (this.asking === asking && error.name !== "AbortError") this.failed(error);
    }
  }

  /** Shows more of an answer that comes in events. */
  grow(event, data, values, model) {
    if (!this.answer.length) {
      this.clear("Writing …");
      this.picture.setAttribute("aria-busy", "true"); // so that nothing is read aloud before it is whole
      this.picture.classList.add("growing");
      this.ending.hidden = false;
    }
    this.answer = this.task.grow(this.answer, event, data);
    this.picture.replaceChildren(...this.task.show(this.answer, values, model));
  }

  /** Stops what is being written, and keeps what is there. */
  stop() {
    if (this.ending.hidden) return;
    this.asking.abort();
    this.asking = null;
    this.settle("Stopped.");
    if (document.activeElement === document.body) this.taking.focus();
  }

  show({ value, seconds, header }, values, model) {
    this.clear("");
    this.answer = value;
    this.settle("");
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

  /** The answer is whole, or goes on no more. */
  settle(words) {
    this.picture.removeAttribute("aria-busy");
    this.picture.classList.remove("growing");
    this.ending.hidden = true;
    this.taking.hidden = !this.task.copy;
    this.said.textContent = words;
    this.said.classList.toggle("idle", Boolean(this.task.stream)); // the text itself is what is to be read
  }

  clear(words) {
    this.settle(words);
    this.taking.hidden = true;
    this.picture.replaceChildren();
    this.trouble.textContent = "";
    this.facts.textContent = "";
    this.json.textContent = "";
  }

  async copy(text, node) {
    try {
      await navigator.clipboard.writeText(text);
      this.copied.textContent = "Copied.";
    } catch { // not over plain HTTP from another machine, or forbidden
      if (this.raw.contains(node)) this.raw.open = true;
      getSelection().selectAllChildren(node);
      this.copied.textContent = "Selected: copy it from there.";
    }
  }

  /** Shows an option, or takes it away where it does not count. */
  count(key, counts) {
    const input = this.inputs.get(key);
    input.disabled = !counts;
    input.closest(".field").hidden = !counts;
  }
}
