#include "normalize.h"

#include "unicode.h"

namespace albert::lite {

Mapped Mapped::same(std::u32string text) {
  Mapped made{std::move(text), {}, {}};
  for (uint32_t at = 0; at < made.text.size(); ++at) {
    made.starts.push_back(at);
    made.ends.push_back(at + 1);
  }
  return made;
}

void Mapped::add(char32_t code, size_t start, size_t end) {
  text += code;
  starts.push_back(static_cast<uint32_t>(start));
  ends.push_back(static_cast<uint32_t>(end));
}

void Mapped::trace(const Mapped& source) {
  for (size_t at = 0; at < starts.size(); ++at) {
    starts[at] = source.starts[starts[at]];
    ends[at] = source.ends[ends[at] - 1];
  }
}

// Where white space that begins at `at` ends.
static size_t after_space(const std::u32string& text, size_t at) {
  while (at < text.size() && is(text[at], kSpace)) ++at;
  return at;
}

// `` and '' are ", as transformers has it.
static bool is_quote(const std::u32string& text, size_t at) {
  return (text[at] == '`' || text[at] == '\'') && at + 1 < text.size() && text[at + 1] == text[at];
}

// A character's place is known before lower-casing, which may make two of one.
static void lower_all(Mapped& text) {
  Mapped made;
  made.text = lowered(text.text);
  for (size_t at = 0; at < text.text.size(); ++at)
    for (size_t each = 0; each < lowered_size(text.text[at]); ++each) {
      made.starts.push_back(text.starts[at]);
      made.ends.push_back(text.ends[at]);
    }
  text = std::move(made);
}

Mapped Normalizer::operator()(const std::u32string& original) const {
  Mapped made;
  std::u32string fold;
  for (size_t at = 0; at < original.size();) {
    const size_t begin = at++;
    if (is(original[begin], kSpace)) {
      at = after_space(original, at);
      if (begin > 0 && at < original.size()) made.add(' ', begin, at);
      continue;
    }
    fold.clear();
    if (quotes && is_quote(original, begin)) {
      ++at;
      fold = U"\"";
    } else if (keep_accents) {
      fold = original[begin];
    } else {
      append_folded(fold, original[begin]);
    }
    for (char32_t code : fold) made.add(code, begin, at);
    // A dropped mark belongs to the letter before it.
    if (fold.empty() && !made.ends.empty() && made.ends.back() == begin) made.ends.back() = static_cast<uint32_t>(at);
  }
  if (lower) lower_all(made);
  return made;
}

}  // namespace albert::lite
