// Writes for every code point: its number, its properties, NFKD without and with marks, lower case.
#include <cinttypes>
#include <cstdio>

#include "unicode.h"
#include "utf8.h"

using namespace albert::lite;

int main() {
  std::printf("%s\n", kUnicode);
  for (char32_t code = 1; code < 0x110000; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    std::u32string folded;
    append_folded(folded, code);
    const std::u32string form = decomposed(code), lower = lowered(std::u32string(1, code));
    std::printf("%" PRIu32 " %" PRIu32, static_cast<uint32_t>(code), properties(code));
    for (const auto& text : {folded, form, lower}) {
      std::printf(" ");
      for (char32_t each : text) std::printf("%" PRIx32 ".", static_cast<uint32_t>(each));
    }
    std::printf("\n");
  }
}
