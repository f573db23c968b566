// The server's endpoints (src/albert/serve/http/routes.py), answered by albert-lite.

const ALL = { topK: 0 };
const LONGEST = 65_536; // the most pieces that a text is divided into

/** `{value, cut}` of a request: its answer, and how many texts were longer than the model reads. */
export function answer(model, path, body) {
  return ENDPOINTS[path](model, body);
}

const ENDPOINTS = {
  "/predict": (model, { inputs }) => {
    const single = !Array.isArray(inputs[0]);
    const rows = single ? [[inputs].flat()] : inputs;
    const { lists, cut } = model.predict(rows.map(([text, pair]) => ({ text, pair })), ALL);
    const found = lists.map((list) => list.map(({ label, score }) => ({ label, score })));
    return { value: single ? found[0] : found, cut };
  },

  "/entities": (model, { inputs }) => {
    const { lists, cut } = model.predict([inputs].flat().map((text) => ({ text })));
    const found = lists.map((list) => list.map(({ label, score, part, start, end }) =>
      ({ entity_group: label, score, word: part, start, end })));
    return { value: Array.isArray(inputs) ? found : found[0], cut };
  },

  "/answer": (model, { question, context, choices, top_k: topK = 1 }) => {
    const input = choices ? { text: context, pair: question, choices } : { text: question, pair: context };
    const { lists: [found], cut } = model.predict([input], { topK });
    return { value: found.map(choices ? chosen : answered), cut };
  },

  "/similarity": (model, { inputs: { source_sentence: source, sentences } }) => {
    const { vectors: [query, ...others], cut } = model.embed([source, ...sentences]);
    return { value: others.map((vector) => cosine(query, vector)), cut };
  },

  "/classify": (model, { inputs, labels }) => {
    const names = Object.keys(labels);
    const said = names.map((label) => labels[label] || label.replace(/[_-]+/g, " "));
    const { vectors, cut } = model.embed([...said, ...[inputs].flat()]);
    const found = vectors.slice(names.length).map((text) => names
      .map((label, i) => ({ label, score: cosine(text, vectors[i]) })).sort((a, b) => b.score - a.score));
    return { value: Array.isArray(inputs) ? found : found[0], cut };
  },

  "/rerank": (model, { query, texts }) => {
    const { scores, cut } = model.about.task === "regression" || model.about.task === "relevance"
      ? numbered(model, query, texts) : compared(model, query, texts);
    const ranks = scores.map((score, index) => ({ index, score }));
    return { value: ranks.sort((a, b) => b.score - a.score), cut };
  },

  "/fill-mask": (model, { inputs, top_k: topK = 5 }) => {
    const found = [inputs].flat().map((text) => filled(model, text, topK));
    return { value: Array.isArray(inputs) ? found : found[0], cut: 0 };
  },

  "/tokenize": (model, { inputs }) => ({ value: [inputs].flat().map((text) => pieces(model, text)), cut: 0 }),
};

function chosen({ label, index, score }) {
  return { choice: label, index, score };
}

function answered({ label, score, start, end }) {
  return { score, start, end, answer: label };
}

/** The number that the model gives each pair, as a share. */
function numbered(model, query, texts) {
  const { lists, cut } = model.predict(texts.map((pair) => ({ text: query, pair })), ALL);
  const share = model.about.task === "relevance" ? (x) => x : (x) => 1 / (1 + Math.exp(-x));
  return { scores: lists.map(([{ score }]) => share(score)), cut };
}

function compared(model, query, texts) {
  const { vectors: [first, ...others], cut } = model.embed([query, ...texts]);
  return { scores: others.map((vector) => cosine(first, vector)), cut };
}

/** Of vectors of length 1. */
function cosine(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

/** The pieces for each [MASK]: a list, or a list of lists where there are several. */
function filled(model, text, topK) {
  const characters = Array.from(text);
  const { lists } = model.fillMask(text, { topK });
  const found = lists.map((list) => list.map(({ label, score, index, start, end }) => ({
    score, token: index, token_str: label,
    sequence: characters.slice(0, start).join("") + label + characters.slice(end).join(""),
  })));
  return found.length === 1 ? found[0] : found;
}

function pieces(model, text) {
  const characters = Array.from(text);
  return model.tokenize(text, { most: LONGEST }).lists[0].map(({ label, index, start, end }) => {
    const special = start === null;
    return { id: index, text: special ? label : characters.slice(start, end).join(""), special, start, stop: end };
  });
}
