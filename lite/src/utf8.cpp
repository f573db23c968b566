#include "utf8.h"

#include "error.h"

namespace albert::lite {

void append_utf8(std::string& to, char32_t code) {
  if (code < 0x80) {
    to += static_cast<char>(code);
    return;
  }
  const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  static const unsigned char kFirst[] = {0, 0xC0, 0xE0, 0xF0};
  to += static_cast<char>(kFirst[more] | code >> 6 * more);
  for (int byte = more - 1; byte >= 0; --byte) to += static_cast<char>(0x80 | (code >> 6 * byte & 0x3F));
}

std::string to_utf8(std::u32string_view text) {
  std::string made;
  made.reserve(text.size());
  for (char32_t code : text) append_utf8(made, code);
  return made;
}

bool next_utf8(std::string_view text, size_t& at, char32_t& code) {
  static const char32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
  const unsigned char first = text[at];
  const int more = first < 0x80 ? 0 : first < 0xC2 ? -1 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : first < 0xF5 ? 3 : -1;
  if (more < 0 || text.size() - at <= static_cast<size_t>(more)) return false;
  code = more == 0 ? first : first & (0x3F >> more);
  for (int byte = 1; byte <= more; ++byte) {
    const unsigned char next = text[at + byte];
    if ((next & 0xC0) != 0x80) return false;
    code = code << 6 | (next & 0x3F);
  }
  at += more + 1;
  return code >= kLeast[more] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
}

bool is_utf8(std::string_view text) {
  char32_t code;
  for (size_t at = 0; at < text.size();)
    if (!next_utf8(text, at, code)) return false;
  return true;
}

std::u32string from_utf8(std::string_view text) {
  std::u32string made;
  made.reserve(text.size());
  char32_t code;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (!next_utf8(text, at, code))
      fail(Kind::kData, "text is not valid Unicode", {"UTF-8 without lone surrogates", "byte " + grouped(begin), ""});
    made += code;
  }
  return made;
}

}  // namespace albert::lite
