// albert-lite in WebAssembly: opens a model's files and gives the answers of lite/include/albert_lite.h as objects.

const SIZES = { text: 8, input: 24, decoding: 32, answer: 56 }; // bytes of the structures
const NOWHERE = -1n;

/** What albert-lite refuses; `message` is its one line, `code` the exit code of the fault. */
export class LiteError extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

/** Opens a model. `files` are its files by name, Uint8Arrays. Throws `LiteError`; a CompileError where there is no SIMD. */
export async function open(binary, files, precision = "auto") {
  const memory = { bytes: null };
  const { instance } = await WebAssembly.instantiate(binary, imports(memory, files));
  memory.bytes = instance.exports.memory;
  instance.exports._initialize();
  return new Model(instance.exports, precision);
}

/** What the library asks of its surroundings: the files' sizes, parts of them, and nothing else. */
function imports(memory, files) {
  const named = (path, length) => files[new TextDecoder().decode(new Uint8Array(memory.bytes.buffer, path, length)).slice(1)];
  return {
    files: {
      size: (path, length) => named(path, length)?.length ?? -1,
      read: (path, length, at, count, to) =>
        new Uint8Array(memory.bytes.buffer, to, count).set(named(path, length).subarray(at, at + count)),
    },
    env: { emscripten_notify_memory_growth: () => {} },
    wasi_snapshot_preview1: { proc_exit: (code) => { throw new LiteError(`error[internal] it ended with ${code}`, 70); } },
  };
}

class Model {
  #library;
  #model;
  #taken = []; // memory that is given back after each call

  constructor(library, precision) {
    this.#library = library;
    this.#model = this.#call("open", this.#string(""), this.#structure(16, [[0, "Uint32", this.#string(precision)]]));
    this.about = JSON.parse(this.#terminated(library.albert_lite_about(this.#model)));
  }

  /** For each input, `{text, pair, choices}`, a list of answers, best first; `topK` 0 gives all. `cut` says how many
   * inputs were longer than the model reads. */
  predict(inputs, { topK = 1 } = {}) {
    const table = this.#take(SIZES.input * inputs.length);
    inputs.forEach(({ text, pair, choices = [] }, i) => {
      const at = table + SIZES.input * i;
      this.#put(at, text);
      this.#put(at + 8, pair);
      this.#set([[at + 16, "Uint32", this.#texts(choices)], [at + 20, "Uint32", choices.length]]);
    });
    const decoding = this.#structure(SIZES.decoding, [[0, "BigInt64", BigInt(topK)], [8, "BigInt64", 30n],
      [20, "Int32", -1]]); // as `albert_lite_defaults`
    return this.#answers("predict", this.#model, table, inputs.length, decoding);
  }

  /** A vector of length 1 for each text. */
  embed(texts) {
    const { lists, cut } = this.#answers("embed", this.#model, this.#texts(texts), texts.length, 1);
    return { vectors: lists.map(([{ vector }]) => vector), cut };
  }

  /** The likeliest pieces at each [MASK]. */
  fillMask(text, { topK = 5 } = {}) {
    return this.#answers("fill_mask", this.#model, this.#texts([text]), BigInt(topK));
  }

  /** The pieces of a text as the model reads them, at most `most` (0: the model's length). */
  tokenize(text, { most = 0 } = {}) {
    return this.#answers("tokenize", this.#model, this.#texts([text]), this.#texts([undefined]), BigInt(most));
  }

  #answers(name, ...given) {
    const library = this.#library;
    const answers = this.#call(name, ...given);
    const place = library.malloc(SIZES.answer);
    const range = (count) => Array.from({ length: count }, (_, i) => i);
    try {
      const lists = range(library.albert_lite_lists(answers)).map((list) =>
        range(library.albert_lite_count(answers, list)).map((at) => {
          library.albert_lite_get(place, answers, list, at);
          return this.#answer(place);
        }));
      return { lists, cut: library.albert_lite_cut(answers) };
    } finally {
      library.free(place);
      library.albert_lite_free(answers);
    }
  }

  #answer(at) {
    const view = this.#view();
    const text = (place) => this.#decoded(view.getUint32(place, true), view.getUint32(place + 4, true));
    const number = (place) => {
      const found = view.getBigInt64(place, true);
      return found === NOWHERE ? null : Number(found);
    };
    const [vector, size] = [view.getUint32(at + 48, true), view.getUint32(at + 52, true)];
    return { label: text(at), part: text(at + 8), score: view.getFloat64(at + 16, true), start: number(at + 24),
      end: number(at + 32), index: number(at + 40), vector: new Float32Array(view.buffer, vector, size).slice() };
  }

  /** Calls a function that returns 0 and writes a pointer to its last argument, or else fails. */
  #call(name, ...given) {
    const out = this.#take(4);
    try {
      const code = this.#library[`albert_lite_${name}`](...given, out);
      if (code) throw new LiteError(this.#terminated(this.#library.albert_lite_error()), code);
      return this.#view().getUint32(out, true);
    } finally {
      for (const pointer of this.#taken.splice(0)) this.#library.free(pointer);
    }
  }

  // --- memory; a view is made anew each time, since memory that grows leaves the old one empty --------------

  #view() {
    return new DataView(this.#library.memory.buffer);
  }

  #take(size) {
    const pointer = this.#library.malloc(Math.max(size, 1));
    if (!pointer) throw new LiteError("error[out-of-memory] not enough memory", 71);
    this.#taken.push(pointer);
    return pointer;
  }

  #set(fields) {
    const view = this.#view();
    for (const [at, type, value] of fields) view[`set${type}`](at, value, true);
  }

  #structure(size, fields) {
    const at = this.#take(size);
    new Uint8Array(this.#library.memory.buffer, at, size).fill(0);
    this.#set(fields.map(([offset, type, value]) => [at + offset, type, value]));
    return at;
  }

  #string(text) {
    const bytes = new TextEncoder().encode(`${text}\0`);
    const at = this.#take(bytes.length);
    new Uint8Array(this.#library.memory.buffer, at, bytes.length).set(bytes);
    return at;
  }

  /** Writes `{data, size}` of a text; no text is no data. */
  #put(at, text) {
    const data = text === undefined ? 0 : this.#string(text);
    const size = text === undefined ? 0 : new TextEncoder().encode(text).length;
    this.#set([[at, "Uint32", data], [at + 4, "Uint32", size]]);
  }

  #texts(texts) {
    const at = this.#take(SIZES.text * texts.length);
    texts.forEach((text, i) => this.#put(at + SIZES.text * i, text));
    return at;
  }

  #decoded(at, size) {
    return new TextDecoder().decode(new Uint8Array(this.#library.memory.buffer, at, size));
  }

  #terminated(at) {
    const bytes = new Uint8Array(this.#library.memory.buffer);
    return this.#decoded(at, bytes.indexOf(0, at) - at);
  }
}
