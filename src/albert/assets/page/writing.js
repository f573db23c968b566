// The tab of models that write: a text on one side, what the model makes of it on the other while it is written.

import { count, make } from "./dom.js";

const drawn = ({ way }) => way === "draws";
const searched = ({ way }) => way === "beam";
const several = ({ way }) => way !== "greedy";

/** The options as the API has them; null while a number is out of its range. Others than the defaults are left out. */
function options({ way, beam, texts, temperature, share, seed, prefix, words, longest, ngram }) {
  const chosen = {
    ...(way === "beam" ? { beam } : {}),
    ...(way === "beam" && words ? { words: words.split(",").map((word) => word.trim()).filter(Boolean) } : {}),
    ...(way === "draws" ? { sample: true, temperature, top_p: share, seed } : {}),
    ...(several({ way }) ? { top_k: way === "beam" ? Math.min(texts, beam) : texts } : {}),
    ...(prefix ? { prefix } : {}),
    ...(longest === LONGEST ? {} : { max_length: longest }),
    ...(ngram ? { no_repeat_ngram: ngram } : {}),
  };
  return Object.values(chosen).some(Number.isNaN) ? null : chosen;
}

const LONGEST = 256;

function written({ text, cut }) {
  const node = make("div", { class: "document written", dir: "auto" }, text);
  if (cut) node.append(" ", make("span", { class: "tag" }, "ends at the limit on length"));
  return node;
}

function other(answer) {
  return make("li", {}, written(answer), make("span", { class: "tag" }, answer.score.toFixed(3)));
}

export const write = {
  id: "write",
  name: "Write",
  endpoint: "/generate",
  stream: true,
  fields: [
    { key: "text", label: "Text", kind: "text", rows: 10,
      example: "The parcel came two days early, but the box was torn and nobody answers the phone." },
    { key: "way", label: "How it is written", kind: "choice", option: true,
      choices: [["greedy", "The likeliest piece, one by one"], ["beam", "Beam search"], ["draws", "Drawn at random"]] },
    { key: "beam", label: "Hypotheses", kind: "number", option: true, start: 4, least: 2, most: 64, when: searched },
    { key: "texts", label: "Texts", kind: "number", option: true, start: 1, least: 1, most: 64, when: several },
    { key: "temperature", label: "Temperature", kind: "number", option: true, start: 1, least: 0.01, most: 100,
      step: "any", when: drawn },
    { key: "share", label: "Share of the likeliest", kind: "number", option: true, start: 1, least: 0.01,
      most: 1, step: "any", when: drawn },
    { key: "seed", label: "Seed", kind: "number", option: true, start: 0, least: 0, most: 4294967295, when: drawn },
    { key: "longest", label: "Pieces at most", kind: "number", option: true, start: LONGEST, least: 1, most: 65536 },
    { key: "ngram", label: "No repeats, in pieces", kind: "number", option: true, start: 0, least: 0,
      most: 65536 },
    { key: "prefix", label: "Begins with", kind: "line", option: true },
    { key: "words", label: "Contains these words (commas between)", kind: "line", option: true, when: searched },
  ],
  body: (values) => {
    const chosen = values.text && options(values);
    return chosen ? { inputs: values.text, ...chosen } : null;
  },
  grow: (result, event, { text, score }) => {
    if (event === "piece") return [{ text: (result[0]?.text ?? "") + text }];
    return [...result, { text, score }].sort((a, b) => b.score - a.score);
  },
  say: ([first, ...others]) => {
    const facts = `Log-probability ${first.score.toFixed(3)} per piece`;
    return others.length ? `${count(others.length + 1, "text")}. ${facts}.` : `${facts}.`;
  },
  show: ([first, ...others]) => [
    written(first),
    ...(others.length ? [make("h4", {}, "Others"), make("ol", { class: "others", start: 2 }, ...others.map(other))] : []),
  ],
  copy: ([first]) => first.text,
  rows: {
    columns: [{ key: "text", label: "Text" }],
    body: (rows) => ({ inputs: rows.map(({ text }) => text) }),
    results: (result) => result,
    names: () => ["prediction", "score"],
    cells: ([first]) => [first.text, first.score],
  },
};
