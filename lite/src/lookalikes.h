// Words with letters of more than one script, and the words that they imitate. As albert/text/hardening/lookalikes.py.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace albert::lite {

// A word -> its number of pieces, and how many of them are unknown.
using Spell = std::function<std::pair<int64_t, int64_t>(const std::u32string&)>;

// Whether a word of the text may be folded. This costs little for plain text.
bool may_fold(std::u32string_view text, bool whole_words);

// The text with its words folded, all of the same length as before.
std::u32string folded_words(const std::u32string& text, bool whole_words, const Spell& spell);

bool is_small_capital(char32_t code);

}  // namespace albert::lite
