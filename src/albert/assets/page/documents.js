// The tabs of an index of documents: a question with its answer marked where it stands, and a search for passages.

import { count, figure, make, marked } from "./dom.js";

const filter = { key: "filter", label: "Only files like", kind: "line", folded: () => true };

function asked(question, key, pattern) {
  return question ? { [key]: question, ...(pattern ? { filter: pattern } : {}) } : null;
}

/** A passage under its place, with what is marked of it; a FAQ's answer, marked if `told`, stands below its question. */
function passage(hit, { spans = [], told = false } = {}) {
  const ranks = ["words", "vectors", "reranked"].filter((way) => hit[way]).map((way) => `${way} ${hit[way]}`);
  const node = make("div", { class: "passage" },
    make("p", { class: "place" }, make("strong", { dir: "auto" }, hit.place), ...(hit.heading && hit.heading !== hit.text
      ? [" ", make("span", { dir: "auto" }, hit.heading)] : []), " ", make("span", { class: "tag" }, ranks.join(", "))),
    marked(hit.text, spans));
  if (hit.answer) node.append(marked(hit.answer, told ? [{ start: 0, end: hit.answer.length }] : []));
  return node;
}

function passages(hits) {
  return make("ol", { class: "passages" }, ...hits.map((hit) => make("li", {}, passage(hit))));
}

const ask = {
  id: "ask",
  name: "Ask",
  endpoint: "/ask",
  index: true,
  fields: [{ key: "question", label: "Question to the documents", kind: "line" }, filter],
  body: ({ question, filter: pattern }) => asked(question, "question", pattern),
  say: ({ answer, score }) => (answer ? `${answer}, ${figure(score)}` : "The documents do not say it."),
  show: ({ answer, start, end, passage: hit, others }) => {
    if (!hit) return [];
    const spans = answer && start !== null ? [{ start, end }] : [];
    const rest = answer ? others : [hit, ...others];
    return [
      ...(answer ? [make("h4", {}, "In the documents"), passage(hit, { spans, told: true })] : []),
      ...(rest.length ? [make("h4", {}, answer ? "Other passages" : "The nearest passages"), passages(rest)] : []),
    ];
  },
};

const find = {
  id: "find",
  name: "Find",
  endpoint: "/search",
  index: true,
  fields: [{ key: "query", label: "Looking for, in the documents", kind: "line" }, filter],
  body: ({ query, filter: pattern }) => asked(query, "query", pattern),
  say: (hits) => (hits.length ? count(hits.length, "passage") : "Nothing found"),
  show: (hits) => (hits.length ? [passages(hits)] : []),
};

export const DOCUMENTS = [ask, find];
