// UTF-8, strictly: no overlong forms, no surrogates.
#pragma once

#include <string>
#include <string_view>

namespace albert::lite {

void append_utf8(std::string& to, char32_t code);
std::string to_utf8(std::u32string_view text);

// Decodes one character at `at` and moves on. False for bytes that are none.
bool next_utf8(std::string_view text, size_t& at, char32_t& code);
bool is_utf8(std::string_view text);

// Throws `Error` (bad-data) for bytes that are not UTF-8.
std::u32string from_utf8(std::string_view text);

}  // namespace albert::lite
