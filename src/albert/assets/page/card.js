// The model card: the Markdown of cards as elements and text. Links and pictures stay text.

import { make } from "./dom.js";

const HEADING = /^(#{1,6})\s+(.*)$/;
const ITEM = /^\s*[-*+]\s+(.*)$/;
const PICTURE = /!\[([^\]]{0,300})\]\([^)]{0,300}\)/g; // bounded: a hostile card would take quadratic time
const LINK = /\[([^\]]{1,300})\]\(([^)]{0,300})\)/g;
const INLINE = /(`[^`]+`|\*\*[^*]+\*\*)/;

/** A card as one element. The metadata block at its top is left out. */
export function card(markdown) {
  const lines = markdown.replaceAll("\r\n", "\n").replace(/^---\n[\s\S]*?\n---\n/, "").split("\n");
  const node = make("div", { class: "prose", dir: "auto" });
  while (lines.length) {
    const block = next(lines);
    if (block) node.append(block);
  }
  return node;
}

/** The first block, whose lines are removed; null for a blank line. */
function next(lines) {
  const line = lines.shift();
  if (!line.trim()) return null;
  if (line.startsWith("```")) {
    const code = taken(lines, (each) => !each.startsWith("```"));
    lines.shift();
    return make("pre", { role: "region", "aria-label": "Code", tabindex: "0" }, code.join("\n"));
  }
  const heading = HEADING.exec(line);
  if (heading) return make(`h${Math.min(6, heading[1].length + 2)}`, {}, ...inline(heading[2])); // below the page's h2
  if (line.startsWith("|")) return table([line, ...taken(lines, (each) => each.startsWith("|"))]);
  if (ITEM.test(line)) {
    const items = [line, ...taken(lines, (each) => ITEM.test(each))];
    return make("ul", {}, ...items.map((item) => make("li", {}, ...inline(ITEM.exec(item)[1]))));
  }
  const rest = taken(lines, (each) => each.trim() && !HEADING.test(each) && !/^(```|\|)/.test(each));
  return make("p", {}, ...inline([line, ...rest].join(" ")));
}

function taken(lines, fits) {
  const end = lines.findIndex((line) => !fits(line));
  return lines.splice(0, end < 0 ? lines.length : end);
}

function table(lines) {
  const [head, ...body] = lines
    .map((line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim()))
    .filter((cells) => !cells.every((cell) => /^:?-+:?$/.test(cell)));
  const row = (cells, tag) => make("tr", {}, ...cells.map((cell) => make(tag, {}, ...inline(cell))));
  const parts = [make("tbody", {}, ...body.map((cells) => row(cells, "td")))];
  if (head.some(Boolean)) parts.unshift(make("thead", {}, row(head, "th")));
  return make("div", { class: "scroll", role: "region", "aria-label": "Table", tabindex: "0" }, make("table", {}, ...parts));
}

function inline(text) {
  return text.split(INLINE).filter(Boolean).map((part) => {
    if (part.length > 2 && part.startsWith("`") && part.endsWith("`")) return make("code", {}, part.slice(1, -1));
    if (part.length > 4 && part.startsWith("**") && part.endsWith("**")) return make("strong", {}, part.slice(2, -2));
    return part.replace(PICTURE, "Picture: $1").replace(LINK, "$1 ($2)");
  });
}
