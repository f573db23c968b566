#include "unicode.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace albert::lite {

constexpr char32_t kHangul = 0xAC00, kHangulEnd = 0xD7A4;
constexpr char32_t kLargeSigma = 0x3A3, kSigma = 0x3C3, kFinalSigma = 0x3C2;

static uint32_t looked_up(char32_t code) {
  const auto* after = std::upper_bound(std::begin(kStarts), std::end(kStarts), code);
  return kRecords[kRecordOf[after - std::begin(kStarts) - 1]];
}

uint32_t properties(char32_t code) {
  static const auto kAscii = [] {
    std::array<uint32_t, 128> made;
    for (char32_t each = 0; each < made.size(); ++each) made[each] = looked_up(each);
    return made;
  }();
  return code < kAscii.size() ? kAscii[code] : looked_up(code);
}

std::u32string decomposed(char32_t code) {
  if (code >= kHangul && code < kHangulEnd) {  // Unicode, section 3.12
    const char32_t index = code - kHangul, last = index % 28;
    std::u32string made = {0x1100 + index / 588, 0x1161 + index % 588 / 28};
    if (last != 0) made += 0x11A7 + last;
    return made;
  }
  const auto* found = std::lower_bound(std::begin(kDecomposed), std::end(kDecomposed), code);
  if (found == std::end(kDecomposed) || *found != code) return {code};
  const uint32_t form = kForms[found - std::begin(kDecomposed)];
  return std::u32string(kPool + (form >> 5), form & 31);
}

void append_folded(std::u32string& to, char32_t code) {
  if (code < 0x80) {
    to += code;
    return;
  }
  for (char32_t part : decomposed(code))
    if (!is(part, kCombining)) to += part;
}

static char32_t lower_of(char32_t code) {
  if (code < 0x80) return code >= 'A' && code <= 'Z' ? code + 32 : code;
  const auto* found = std::lower_bound(std::begin(kUpper), std::end(kUpper), code);
  return found == std::end(kUpper) || *found != code ? code : kLower[found - std::begin(kUpper)];
}

// Whether a sigma stands at the end of a word: SpecialCasing.txt, Final_Sigma.
static bool is_final(std::u32string_view text, size_t at) {
  size_t before = at, after = at + 1;
  while (before > 0 && is(text[before - 1], kIgnorable)) --before;
  if (before == 0 || !is(text[before - 1], kCased)) return false;
  while (after < text.size() && is(text[after], kIgnorable)) ++after;
  return after == text.size() || !is(text[after], kCased);
}

std::u32string lowered(std::u32string_view text) {
  std::u32string made;
  made.reserve(text.size());
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == 0x130) {
      made += U"i\u0307";
    } else if (text[at] == kLargeSigma) {
      made += is_final(text, at) ? kFinalSigma : kSigma;
    } else {
      made += lower_of(text[at]);
    }
  }
  return made;
}

}  // namespace albert::lite
