// A file of rows: chosen, sent in batches, and returned with the predictions for each row.

import { ApiError, PRIVACY, patiently } from "./api.js";
import { readTable, writeTable } from "./csv.js";
import { count, make } from "./dom.js";

const LANES = 2; // batches under way at a time: one is computed while the other is sent
const BYTES = 3; // the most bytes of a UTF-16 unit in JSON, except control characters
const LIKELY = { text: ["text", "message", "review", "sentence", "context", "document"],
  pair: ["text_pair", "sentence2", "text2", "second"], question: ["question", "query"],
  context: ["context", "document", "text"] };
const BLAMES_ROWS = new Set([413, 422]);

/** The part of a panel for files. `model()` is the chosen model and `values()` are those of the panel's fields;
 * `locked(error)` is called for a missing key. */
export function filePart(task, about, model, values, locked) {
  return new FilePart(task, about, model, values, locked).node;
}

class FilePart {
  constructor(task, about, model, values, locked) {
    Object.assign(this, { task, about, model, values, locked });
    this.table = null;
    this.stop = null; // aborts the requests under way
    const id = `${task.id}-file`;
    this.chosen = make("input", { id, type: "file", accept: ".csv,.tsv,.txt,text/csv", onchange: () => this.open(),
      onclick: () => { this.chosen.value = ""; } }); // otherwise choosing a changed file again goes unnoticed
    this.columns = make("div", { class: "row columns" });
    this.start = make("button", { type: "button", class: "primary", onclick: () => this.run() }, "Score the rows");
    this.end = make("button", { type: "button", onclick: () => this.stop?.abort() }, "Stop");
    this.save = make("button", { type: "button", onclick: () => this.download() }, "Download CSV");
    this.bar = make("progress", { "aria-label": "Rows scored", max: 1, value: 0 });
    this.told = make("span", { class: "facts" });
    this.state = make("p", { class: "facts", role: "status" });
    this.trouble = make("p", { class: "trouble", role: "alert" });
    this.node = make("details", { class: "card file" }, make("summary", {}, make("h2", {}, "A whole file")),
      make("p", { class: "facts" }, `CSV with a header, in UTF-8. ${PRIVACY}`),
      make("div", { class: "field" }, make("label", { for: id }, "File"), this.chosen),
      this.columns, make("div", { class: "row" }, this.start, this.end, this.save),
      make("div", { class: "row" }, this.bar, this.told), this.state, this.trouble);
    this.settle();
  }

  async open() {
    this.table = null;
    this.trouble.textContent = this.state.textContent = "";
    this.columns.replaceChildren();
    const [file] = this.chosen.files;
    if (file) {
      try {
        const table = readTable(await file.arrayBuffer());
        if (this.chosen.files[0] !== file) return;
        this.table = { ...table, name: file.name, done: new Map(), failed: new Map() };
        this.columns.append(...this.task.rows.columns.map((column) => this.selector(column)));
        this.tell(`${count(table.rows.length, "row")} in ${file.name}.`);
      } catch (error) {
        this.trouble.textContent = error.message;
      }
    }
    this.settle();
  }

  selector({ key, label, optional }) {
    const id = `${this.task.id}-column-${key}`;
    const { header } = this.table;
    const options = header.map((name, index) => make("option", { value: index }, name || `column ${index + 1}`));
    if (optional) options.unshift(make("option", { value: -1 }, "none"));
    const select = make("select", { id, "data-key": key, onchange: () => this.forget() }, ...options);
    const likely = LIKELY[key].map((name) => header.findIndex((each) => each.toLowerCase() === name));
    const wanted = optional && !this.model().pairs ? -1 : likely.find((index) => index >= 0);
    select.value = wanted ?? (optional ? -1 : 0);
    return make("div", { class: "field" }, make("label", { for: id }, `Column: ${label}`), select);
  }

  /** Other columns were chosen, so earlier answers are dropped. */
  forget() {
    this.table.done.clear();
    this.table.failed.clear();
    this.settle();
  }

  /** Rows that are not scored yet, as the task reads them: `{index, key: text}`. Blank rows fail at once. */
  waiting() {
    const places = [...this.columns.querySelectorAll("select")].map((select) => [select.dataset.key, Number(select.value)]);
    const optional = new Set(this.task.rows.columns.filter((column) => column.optional).map(({ key }) => key));
    const { rows, done, failed } = this.table;
    const found = [];
    rows.forEach((cells, index) => {
      if (done.has(index) || failed.has(index)) return;
      const row = { index };
      for (const [key, place] of places) row[key] = place < 0 ? "" : cells[place];
      const blank = places.some(([key]) => !optional.has(key) && !row[key].trim());
      if (blank) failed.set(index, "blank");
      else found.push(row);
    });
    return found;
  }

  /** Batches within the limits of rows and bytes per request. */
  batches(rows) {
    const most = this.task.rows.atOnce ?? this.about.max_inputs;
    const found = [];
    let size = Infinity;
    for (const row of rows) {
      const more = BYTES * Object.values(row).join("").length;
      if (size + more > this.about.max_body || found.at(-1).length >= most) {
        found.push([]);
        size = 0;
      }
      found.at(-1).push(row);
      size += more;
    }
    return found;
  }

  async run() {
    const model = this.model();
    const common = this.task.rows.common ? this.task.rows.common(this.values()) : {};
    if (!common) {
      this.trouble.textContent = "First fill in the fields above.";
      return;
    }
    const way = JSON.stringify([model.name, common]);
    if (this.table.way !== way || !this.missing()) this.forget();
    Object.assign(this.table, { model, way });
    const stop = (this.stop = new AbortController());
    const left = this.batches(this.waiting());
    this.begun = { at: performance.now(), done: this.table.done.size };
    this.held = new Set(); // batches that the server told to wait
    this.trouble.textContent = "";
    this.tell("Scoring.");
    this.settle();
    const lane = async () => {
      for (let batch = left.shift(); batch && !stop.signal.aborted; batch = left.shift()) {
        await this.scored(batch, common, model, stop.signal);
      }
    };
    try {
      await Promise.all(Array.from({ length: LANES }, lane));
      stop.signal.throwIfAborted(); // between two batches
      this.tell(`Done: ${this.outcome()}.`);
    } catch (error) {
      stop.abort(); // stops the other lane, too
      this.stopped(error);
    } finally {
      if (this.stop === stop) this.stop = null;
      this.settle();
    }
  }

  /** Sends a batch. If the server refuses its content, sends each half by itself, down to single rows. */
  async scored(rows, common, model, signal) {
    const { task } = this;
    const body = { ...task.rows.body(rows), ...common, model: model.name };
    try {
      const { value } = await patiently(task.endpoint, body, signal, (error, wait) => {
        this.held.add(rows);
        this.tell(`${error.message} Going on in ${wait} s.`);
      });
      task.rows.results(value).forEach((result, i) => this.table.done.set(rows[i].index, task.rows.cells(result, model)));
    } catch (error) {
      if (!(error instanceof ApiError) || !BLAMES_ROWS.has(error.status)) throw error;
      if (rows.length === 1) this.table.failed.set(rows[0].index, error.said);
      else {
        await this.scored(rows.slice(0, rows.length >> 1), common, model, signal);
        await this.scored(rows.slice(rows.length >> 1), common, model, signal);
      }
    }
    this.held.delete(rows);
    if (!this.held.size) this.tell("Scoring."); // otherwise the message about the other lane stays
    this.advance();
  }

  stopped(error) {
    if (error.name === "AbortError") this.tell(`Stopped: ${this.outcome()}.`);
    else if (error instanceof ApiError) {
      this.tell(`Stopped: ${this.outcome()}.`);
      this.trouble.textContent = error.message;
      if (error.status === 401) this.locked(error);
    } else throw error;
  }

  missing() {
    const { rows, done, failed } = this.table;
    return rows.length - done.size - failed.size;
  }

  tell(words) {
    if (this.state.textContent !== words) this.state.textContent = words; // screen readers read each change
  }

  outcome() {
    const { rows, done, failed } = this.table;
    const words = `${done.size.toLocaleString("en")} of ${count(rows.length, "row")} scored`;
    return failed.size ? `${words}, ${failed.size.toLocaleString("en")} left out (see the column error)` : words;
  }

  advance() {
    const { rows, done, failed } = this.table;
    const ready = done.size + failed.size;
    this.bar.max = rows.length;
    this.bar.value = ready;
    const rate = (done.size - this.begun.done) / (performance.now() - this.begun.at);
    const left = rate ? (rows.length - ready) / rate / 1000 : 0;
    this.told.textContent = `${ready.toLocaleString("en")} of ${count(rows.length, "row")}` +
      (left >= 1 ? `, about ${left < 90 ? count(Math.ceil(left), "second") : count(Math.ceil(left / 60), "minute")} left` : "");
  }

  /** Enables the buttons that the state allows. */
  settle() {
    const { table, stop } = this;
    const ready = table ? table.done.size + table.failed.size : 0;
    this.chosen.disabled = stop !== null;
    this.start.disabled = !table;
    this.start.textContent = ready && this.missing() ? "Go on" : "Score the rows";
    this.start.hidden = stop !== null;
    this.end.hidden = stop === null;
    this.save.hidden = !ready || stop !== null;
    this.bar.hidden = this.told.hidden = !ready && stop === null;
    if (table) {
      for (const select of this.columns.querySelectorAll("select")) select.disabled = stop !== null;
      if (this.begun) this.advance();
    }
  }

  /** The file with new columns. It has a column for errors only if there are any. */
  download() {
    const { header, rows, done, failed, delimiter, name, model } = this.table;
    const names = this.task.rows.names(model).concat(failed.size ? ["error"] : []);
    const taken = new Set(header);
    const added = names.map((each) => (taken.has(each) ? `albert ${each}` : each));
    const scored = rows.map((cells, index) => {
      const found = done.get(index) ?? this.task.rows.names(model).map(() => "");
      return [...cells, ...found, ...(failed.size ? [failed.get(index) ?? ""] : [])];
    });
    const blob = new Blob([writeTable([[...header, ...added], ...scored], delimiter)], { type: "text/csv" });
    const url = URL.createObjectURL(blob);
    make("a", { href: url, download: `${name.replace(/\.[^.]*$/, "")}-scored${delimiter === "\t" ? ".tsv" : ".csv"}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }
}
