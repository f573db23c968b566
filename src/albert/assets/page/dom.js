// Elements, and the display of answers. Everything from outside becomes text, never markup.

const SHOWN = 10; // labels shown before the rest is folded
const LONG = 26; // the most characters of a short label
const TONES = 6;

/** An element with attributes, listeners (`onclick`) and children; strings become text. */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** A score in words. `kind`: a "share" of 1, a "cosine", or any "number". */
export function figure(score, kind = "share") {
  return kind === "share" ? `${(100 * score).toFixed(1)} %` : score.toFixed(3);
}

/** Labels with figures, and bars unless they are any numbers. `tag(entry)` adds words behind a label; long labels
 * stand above their bars. */
export function bars(entries, { kind = "share", tag = () => "" } = {}) {
  const rows = entries.map((entry) => bar(entry, kind, tag(entry)));
  const long = entries.some(({ label }) => label.length > LONG);
  const list = make("ol", { class: `bars ${kind}${long ? " long" : ""}` }, ...rows.slice(0, SHOWN));
  if (rows.length <= SHOWN) return list;
  const rest = make("ol", { class: list.className, start: SHOWN + 1 }, ...rows.slice(SHOWN));
  return make("div", {}, list, make("details", {}, make("summary", {}, `${rows.length - SHOWN} more`), rest));
}

function bar({ label, score }, kind, tag) {
  const name = make("span", { class: "name", dir: "auto" }, label);
  if (tag) name.append(" ", make("span", { class: "tag" }, tag));
  const row = make("li", {}, name);
  if (kind !== "number") {
    const value = make("span", { class: "value" });
    value.style.width = `${100 * Math.min(1, Math.max(0, score))}%`;
    row.append(make("span", { class: "track", "aria-hidden": "true" }, value));
  }
  row.append(make("span", { class: "score" }, figure(score, kind)));
  return row;
}

/** A text with spans of it marked: `{start, end, label, tone}`, of which the first wins where two overlap. */
export function marked(text, spans) {
  const characters = Array.from(text); // the API counts code points, JavaScript's strings count UTF-16 units
  const cut = (start, end) => characters.slice(start, end).join("");
  const node = make("div", { class: "document", dir: "auto" });
  let at = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    if (span.start < at || span.end <= span.start) continue;
    const mark = make("mark", { class: `tone-${(span.tone ?? 0) % TONES}` }, cut(span.start, span.end));
    if (span.label) mark.append(" ", make("small", {}, span.label));
    node.append(cut(at, span.start), mark);
    at = span.end;
  }
  node.append(cut(at));
  return node;
}

/** A count with its noun: "1 row", "2,000 rows". */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}
