// The tabs: the fields of each, its request, the display of its answer, and its handling of rows of a file.
//
// `fields`: kind "text", "line", "lines" (one entry per line), "number" or "choice"; `folded(model)` ones are shown on
// demand, and so are those that are an `option`, all together, if `when(values)` they count. `body(values, model)` is
// null while something is missing. `say` is one sentence for screen readers, `show` the picture, `copy` what a button
// copies. With `stream` the answer comes in events, and `grow(result, event, data)` is the result so far. `rows`: the
// columns it reads, how many rows a request takes, the cells that a row gets, and `common(values)`, what all requests have
// from the fields, null while it is missing.

import { bars, count, figure, make, marked } from "./dom.js";
import { write } from "./writing.js";

const EXAMPLE = "The parcel came two days early, but the box was torn and nobody answers the phone.";
const ARTICLE =
  "The city library opens again on Monday after a year of work. The roof was replaced, and the reading room has twice " +
  "as many desks. Heating now comes from the river: a pump in the cellar takes the warmth out of the water. " +
  "Members keep their cards. Whoever wants one needs an address in the city and five minutes. The café, run by two " +
  "sisters from the market hall, serves soup until six. The children's books moved to the ground floor.";
const MOST_COLUMNS = 20; // labels that get a column each in a scored file

const kindOf = (model) => (model.numeric ? "number" : "share");

function best([first], kind) {
  return `${first.label}, ${figure(first.score, kind)}`;
}

/** The labels that a text gets, of a model that gives several. */
function given(result, { labels, limits }) {
  const least = new Map(labels.map((label, i) => [label, limits[i]]));
  return result.filter(({ label, score }) => score >= least.get(label)).map(({ label }) => label);
}

/** The types of entities of a model, each with its own colour while there are enough colours. */
function groups(model) {
  return [...new Set(model.labels.map((label) => label.replace(/^[BILESU]-/, "")))].filter((label) => label !== "O");
}

function ranked(sentences, scores) {
  return sentences.map((label, i) => ({ label, score: scores[i] })).sort((a, b) => b.score - a.score);
}

const classify = {
  id: "classify",
  name: "Classify",
  endpoint: "/predict",
  suits: (model) => !model.endpoints.includes("/generate"), // which answers with texts
  fields: [
    { key: "text", label: "Text", kind: "text", example: EXAMPLE },
    { key: "pair", label: "Second text, for models of pairs", kind: "text", folded: (model) => !model.pairs,
      example: (model) => (model.pairs ? "The parcel arrived early." : "") },
  ],
  body: ({ text, pair }, model) => (text && (pair || !model.pairs) ? { inputs: pair ? [text, pair] : text } : null),
  say: (result, values, model) =>
    model.limits ? given(result, model).join(", ") || "No label" : best(result, kindOf(model)),
  show: (result, values, model) => {
    const labels = new Set(model.limits && given(result, model));
    return [bars(result, { kind: kindOf(model), tag: ({ label }) => (labels.has(label) ? "given" : "") })];
  },
  rows: {
    columns: [{ key: "text", label: "Text" }, { key: "pair", label: "Second text", optional: true }],
    body: (rows) => ({ inputs: rows.map(({ text, pair }) => (pair ? [text, pair] : [text])) }),
    results: (result) => result,
    names: (model) => [
      ...(model.limits ? ["labels"] : model.numeric ? ["prediction"] : ["prediction", "score"]),
      ...(columned(model) ? model.labels.map((label) => `score ${label}`) : []),
    ],
    cells: (result, model) => {
      if (model.numeric) return [result[0].score];
      const scores = new Map(result.map(({ label, score }) => [label, score]));
      return [
        ...(model.limits ? [given(result, model).join("; ")] : [result[0].label, result[0].score]),
        ...(columned(model) ? model.labels.map((label) => scores.get(label)) : []),
      ];
    },
  },
};

function columned(model) {
  return !model.numeric && model.labels.length <= MOST_COLUMNS;
}

const entities = {
  id: "entities",
  name: "Entities",
  endpoint: "/entities",
  fields: [{ key: "text", label: "Text", kind: "text",
    example: "Marie Curie was born in Warsaw 🎓 and worked at the University of Paris with Pierre Curie." }],
  body: ({ text }) => (text ? { inputs: text } : null),
  say: (result) => count(result.length, "entity", "entities"),
  show: (result, { text }, model) => {
    const known = groups(model);
    const spans = result.map(({ start, end, entity_group }) => ({
      start, end, label: entity_group, tone: Math.max(0, known.indexOf(entity_group)),
    }));
    const entries = result.map(({ word, score, entity_group }) => ({ label: word, score, entity_group }));
    return [marked(text, spans), ...(entries.length ? [bars(entries, { tag: (entry) => entry.entity_group })] : [])];
  },
  rows: {
    columns: [{ key: "text", label: "Text" }],
    body: (rows) => ({ inputs: rows.map(({ text }) => text) }),
    results: (result) => result,
    names: () => ["entities"],
    cells: (result) => [JSON.stringify(result)],
  },
};

const answers = {
  id: "answers",
  name: "Answers",
  endpoint: "/answer",
  suits: (model) => !model.chooses,
  fields: [
    { key: "question", label: "Question", kind: "line", example: "Where does the heating come from?" },
    { key: "context", label: "Document", kind: "text", rows: 10, example: ARTICLE },
  ],
  body: ({ question, context }) => (question && context ? { question, context, top_k: 3 } : null),
  say: (result) => (result[0].answer ? `${result[0].answer}, ${figure(result[0].score)}` : "No answer in this document"),
  show: (result, { context }) => {
    const entries = result.map(({ answer, score }) => ({ label: answer || "no answer", score }));
    return [bars(entries), make("h4", {}, "In the document"), marked(context, result[0].answer ? [result[0]] : [])];
  },
  rows: {
    columns: [{ key: "question", label: "Question" }, { key: "context", label: "Document" }],
    atOnce: 1,
    body: ([{ question, context }]) => ({ question, context }),
    results: (result) => [result[0]],
    names: () => ["answer", "score", "start", "end"],
    cells: ({ answer, score, start, end }) => (answer ? [answer, score, start, end] : ["", score, "", ""]),
  },
};

const choices = {
  id: "choices",
  name: "Choices",
  endpoint: "/answer",
  suits: (model) => model.chooses,
  fields: [
    { key: "question", label: "Question", kind: "line", example: "When does the library open?" },
    { key: "context", label: "Document", kind: "text", rows: 8, example: ARTICLE },
    { key: "options", label: "Choices, one per line", kind: "lines", example: "on Monday\nin a year\nnever" },
  ],
  body: ({ question, context, options }) =>
    question && context && options.length > 1 ? { question, context, choices: options, top_k: 100 } : null,
  say: (result) => `${result[0].choice}, ${figure(result[0].score)}`,
  show: (result) => [bars(result.map(({ choice, score }) => ({ label: choice, score })))],
};

const similarity = {
  id: "similarity",
  name: "Similarity",
  endpoint: "/similarity",
  fields: [
    { key: "source", label: "Text", kind: "line", example: "How do I get my money back?" },
    { key: "sentences", label: "Others, one per line", kind: "lines",
      example: "When will I be refunded?\nThe weather is lovely today.\nCan I return this coat?" },
  ],
  body: ({ source, sentences }) =>
    source && sentences.length ? { inputs: { source_sentence: source, sentences } } : null,
  say: (result, { sentences }) => best(ranked(sentences, result), "cosine"),
  show: (result, { sentences }) => [bars(ranked(sentences, result), { kind: "cosine" })],
  rows: {
    columns: [{ key: "text", label: "Text" }, { key: "pair", label: "The other" }],
    atOnce: 1,
    body: ([{ text, pair }]) => ({ inputs: { source_sentence: text, sentences: [pair] } }),
    results: (result) => result,
    names: () => ["similarity"],
    cells: (score) => [score],
  },
};

const rerank = {
  id: "search",
  name: "Search",
  endpoint: "/rerank",
  fields: [
    { key: "query", label: "Looking for", kind: "line", example: "opening hours" },
    { key: "texts", label: "Texts, one per line", kind: "lines",
      example: "We are here from nine to six.\nSocks are on the second floor.\nOn Sundays the shop is closed." },
  ],
  body: ({ query, texts }) => (query && texts.length ? { query, texts } : null),
  say: (result, { texts }) => `First: ${texts[result[0].index]}`,
  show: (result, { texts }, model) => {
    const entries = result.map(({ index, score }) => ({ label: texts[index], score }));
    return [bars(entries, { kind: model.numeric ? "share" : "cosine" })];
  },
};

const labels = {
  id: "labels",
  name: "Labels",
  endpoint: "/classify",
  fields: [
    { key: "text", label: "Text", kind: "text", example: EXAMPLE },
    { key: "labels", label: "Labels, one per line, descriptions behind =", kind: "lines",
      example: "delivery=where a parcel is\nbilling=invoices and payments\npraise" },
  ],
  body: ({ text, labels }) => (text && labels.length > 1 ? { inputs: text, labels: described(labels) } : null),
  say: (result) => best(result, "cosine"),
  show: (result) => [bars(result, { kind: "cosine" })],
  rows: {
    columns: [{ key: "text", label: "Text" }],
    common: ({ labels }) => (labels.length > 1 ? { labels: described(labels) } : null),
    body: (rows) => ({ inputs: rows.map(({ text }) => text) }),
    results: (result) => result,
    names: () => ["prediction", "score"],
    cells: ([first]) => [first.label, first.score],
  },
};

/** Lines "label = description", the latter if there is one. */
function described(lines) {
  return Object.fromEntries(lines.map((line) => {
    const [name, ...about] = line.split("=");
    return [name.trim(), about.join("=").trim()];
  }));
}

const fill = {
  id: "fill",
  name: "Fill in",
  endpoint: "/fill-mask",
  fields: [{ key: "text", label: "Text with [MASK] where a word is missing", kind: "text", insert: "[MASK]",
    example: "He put on his [MASK] and went out into the rain." },
    { key: "steps", label: "Steps in which all masks are filled together; 0: each by itself", kind: "number", start: 0,
      least: 0, most: 100, option: true, when: ({ text }) => several(text) }],
  body: ({ text, steps }) =>
    text.includes("[MASK]") && steps >= 0 ? { inputs: text, top_k: 10, steps: several(text) ? steps : 0 } : null,
  say: (result) => result.sequence ?? masks(result).map(([first]) => first.token_str).join(", "),
  show: (result) => (result.tokens ? [result.tokens] : masks(result)).flatMap((entries, i, every) => [
    ...(every.length > 1 ? [make("h4", {}, `[MASK] ${i + 1}`)] : []),
    bars(entries.map(({ token_str, score }) => ({ label: token_str, score }))),
  ]),
  rows: {
    columns: [{ key: "text", label: "Text with [MASK]" }],
    body: (rows) => ({ inputs: rows.map(({ text }) => text), top_k: 1 }),
    results: (result) => result,
    names: () => ["prediction", "score"],
    cells: (result) => {
      const found = masks(result).map(([first]) => first);
      return [found.map((entry) => entry.token_str).join(" "), found.map((entry) => entry.score).join(" ")];
    },
  },
};

/** Whether a text has more than one [MASK]. */
function several(text) {
  return text.split("[MASK]").length > 2;
}

/** One list per [MASK], also if there is only one. */
function masks(result) {
  return Array.isArray(result[0]) ? result : [result];
}

const moderate = {
  id: "moderate",
  name: "Moderate",
  endpoint: "/v1/moderations",
  fields: [{ key: "text", label: "Text", kind: "text", example: EXAMPLE }],
  body: ({ text }) => (text ? { input: text } : null),
  say: ({ results: [first] }) => verdict(first),
  show: ({ results: [first] }) => {
    const entries = Object.entries(first.category_scores).map(([label, score]) => ({ label, score }));
    entries.sort((a, b) => b.score - a.score);
    return [bars(entries, { tag: ({ label }) => (first.categories[label] ? "flagged" : "") })];
  },
  rows: {
    columns: [{ key: "text", label: "Text" }],
    body: (rows) => ({ input: rows.map(({ text }) => text) }),
    results: ({ results }) => results,
    names: () => ["flagged", "categories"],
    cells: (result) => [result.flagged, flags(result).join("; ")],
  },
};

function flags({ categories }) {
  return Object.keys(categories).filter((label) => categories[label]);
}

function verdict(result) {
  return result.flagged ? `Flagged: ${flags(result).join(", ")}` : "Not flagged";
}

const summary = {
  id: "summary",
  name: "Summary",
  endpoint: "/summarize",
  fields: [
    { key: "text", label: "Text", kind: "text", rows: 12, example: ARTICLE },
    { key: "sentences", label: "Sentences", kind: "number", start: 2, least: 1, most: 100 },
    { key: "focus", label: "What it is to be about, if not all", kind: "line" },
  ],
  body: ({ text, sentences, focus }) => (text && sentences ? { inputs: text, sentences, focus } : null),
  say: (result) => count(result.sentences.length, "sentence"),
  show: (result, { text }) => [
    make("ul", { class: "sentences" }, ...result.sentences.map((part) => make("li", { dir: "auto" }, part.text))),
    make("h4", {}, "In the text"),
    marked(text, result.sentences),
  ],
  rows: {
    columns: [{ key: "text", label: "Text" }],
    atOnce: 1,
    body: ([{ text }]) => ({ inputs: text }),
    results: (result) => [result],
    names: () => ["summary"],
    cells: (result) => [result.summary],
  },
};

const tokens = {
  id: "pieces",
  name: "Pieces",
  endpoint: "/tokenize",
  fields: [{ key: "text", label: "Text", kind: "text", example: "Unbelievably good ☕ naïve café!" }],
  body: ({ text }) => (text ? { inputs: text } : null),
  say: ([pieces], values, model) => `${count(pieces.length, "piece")} of the ${model.max_length} read at once`,
  show: ([pieces]) => [make("ol", { class: "pieces" }, ...pieces.map((piece) =>
    make("li", { class: piece.special ? "special" : undefined, title: `id ${piece.id}` }, piece.text || "␣")))],
};

export const TASKS = [classify, entities, answers, choices, similarity, rerank, labels, fill, write, moderate, summary, tokens];

/** The models that a tab can use. */
export function modelsFor(task, models) {
  if (task.index) return models; // the server knows which of them reads
  return models.filter((model) => model.endpoints.includes(task.endpoint) && (task.suits?.(model) ?? true));
}
