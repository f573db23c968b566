// The one error of the library: a kind, which is an exit code, and a text that says what, expected, got and a hint.
#pragma once

#include <cstdint>
#include <string>

namespace albert::lite {

enum class Kind { kUsage = 2, kData = 65, kModel = 66, kInternal = 70, kMemory = 71, kConfig = 78 };

struct Error {
  Kind kind;
  std::string text;
};

struct Facts {
  std::string expected, got, hint;
};

// Throws `error[KIND] what: expected …, got …. hint: …`, as the Python package does.
[[noreturn]] void fail(Kind kind, const std::string& what, const Facts& facts);

// At most so many bytes, cut before a character, with control characters as spaces: for texts of others in messages.
std::string shortened(const std::string& text, size_t most = 80);

// 12345 as 12,345.
std::string grouped(int64_t number);

}  // namespace albert::lite
