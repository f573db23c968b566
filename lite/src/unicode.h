// Properties of characters, NFKD and lower case, as Python's unicodedata and str have them.
#pragma once

#include <string>
#include <string_view>

#include "unicode_tables.h"

namespace albert::lite {

// All properties of a character: flags, direction and script.
uint32_t properties(char32_t code);

inline bool is(char32_t code, uint32_t flags) { return (properties(code) & flags) != 0; }
inline uint32_t direction_of(char32_t code) { return properties(code) >> kBidiShift & 31; }
inline uint32_t script_of(char32_t code) { return properties(code) >> kScriptShift; }

// NFKD of one character.
std::u32string decomposed(char32_t code);

// NFKD of one character without combining characters, appended.
void append_folded(std::u32string& to, char32_t code);

// `str.lower()`, with the final sigma.
std::u32string lowered(std::u32string_view text);

// Number of characters of `lowered` of one character: 2 for U+0130.
inline size_t lowered_size(char32_t code) { return code == 0x130 ? 2 : 1; }

}  // namespace albert::lite
