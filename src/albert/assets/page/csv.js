// CSV of RFC 4180 and of spreadsheets: commas, semicolons or tabs; quotes around cells with quotes or line ends.

/** `{header, rows, delimiter}` of a file's bytes. Throws an Error that says what is wrong, with the line. */
export function readTable(bytes) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error("The file is not UTF-8. Save it as “CSV UTF-8” and choose it again.");
  }
  const delimiter = guess(text.slice(0, text.search(/[\r\n]|$/)));
  const [first, ...rest] = parse(text, delimiter);
  if (!first || !rest.length) throw new Error("The file has no rows below its header.");
  const header = first.cells.map((cell) => cell.trim());
  const bad = rest.filter(({ cells }) => cells.length !== header.length);
  if (bad.length) {
    const told = bad.slice(0, 3).map(({ line, cells }) => `line ${line} has ${cells.length}`).join(", ");
    throw new Error(`The header has ${header.length} columns, but ${told}${bad.length > 3 ? ", and more lines" : ""}.`);
  }
  return { header, rows: rest.map(({ cells }) => cells), delimiter };
}

/** Rows of cells as CSV. */
export function writeTable(rows, delimiter) {
  const special = new RegExp(`["\\r\\n${delimiter}]`);
  const written = (cell) => {
    const text = String(cell ?? "");
    return special.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((cells) => `${cells.map(written).join(delimiter)}\n`).join("");
}

/** `{line, cells}` for each row that is not blank; `line` is the one where it begins, counted from 1. */
export function parse(text, delimiter) {
  const plain = new RegExp(`[^\\r\\n${delimiter}]*`, "y");
  const rows = [];
  let cells = [];
  let [at, from, line, begun] = [0, 0, 1, 1];
  while (at < text.length || cells.length) {
    let cell = "";
    if (text[at] === '"') {
      const end = closing(text, at, line);
      cell = text.slice(at + 1, end).replaceAll('""', '"');
      line += cell.match(/\r\n|\r|\n/g)?.length ?? 0;
      at = end + 1;
    }
    plain.lastIndex = at;
    const rest = plain.exec(text)[0];
    cells.push(cell + rest);
    at += rest.length;
    if (text[at] === delimiter) {
      at += 1;
      continue;
    }
    if (at > from) rows.push({ line: begun, cells });
    cells = [];
    from = at += text.startsWith("\r\n", at) ? 2 : 1;
    begun = line += 1;
  }
  return rows;
}

/** Where the quote that begins at `at` ends: at a quote that is not doubled. */
function closing(text, at, line) {
  let end = at;
  do {
    end = text.indexOf('"', end + 1);
    if (end < 0) throw new Error(`The quote that begins in line ${line} does not end.`);
  } while (text[end + 1] === '"' && (end += 1));
  return end;
}

function guess(header) {
  const often = (character) => header.split(character).length;
  return [",", ";", "\t"].reduce((best, each) => (often(each) > often(best) ? each : best));
}
