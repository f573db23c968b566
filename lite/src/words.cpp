// Where words begin and end, as in annotated corpora.
#include <string_view>

#include "answers.h"
#include "unicode.h"

namespace albert::lite {

static bool is_cjk(char32_t code) {  // each character is a word
  return (code >= 0x2E80 && code <= 0x9FFF) || (code >= 0xF900 && code <= 0xFAFF);
}
static bool is_inner(char32_t code) {  // these belong to a word if letters follow
  return std::u32string_view(U"-./:&@+").find(code) != std::u32string_view::npos;
}
static bool is_letter(char32_t code) { return !is_cjk(code) && is(code, kWord); }

static size_t after_marks(const std::u32string& text, size_t at) {
  while (at < text.size() && text[at] >= 0x80 && is(text[at], kMark)) ++at;
  return at;
}

static size_t after_letters(const std::u32string& text, size_t at) {
  while (at < text.size() && is_letter(text[at])) at = after_marks(text, at + 1);
  return at;
}

// Where the word that begins at `at` ends: a CJK character, or letters with what joins them, or one other character.
static size_t after_word(const std::u32string& text, size_t at) {
  if (!is_letter(text[at])) return after_marks(text, at + 1);
  size_t end = after_letters(text, at);
  while (true) {
    size_t next = end;
    while (next < text.size() && is_inner(text[next])) ++next;
    if (next == end || next == text.size() || !is_letter(text[next])) return end;
    end = after_letters(text, next);
  }
}

std::vector<std::pair<uint32_t, uint32_t>> words(const std::u32string& text) {
  std::vector<std::pair<uint32_t, uint32_t>> made;
  for (size_t at = 0; at < text.size();) {
    if (!is_cjk(text[at]) && is(text[at], kSpace)) {
      ++at;
      continue;
    }
    const size_t end = after_word(text, at);
    made.emplace_back(static_cast<uint32_t>(at), static_cast<uint32_t>(end));
    at = end;
  }
  return made;
}

}  // namespace albert::lite
