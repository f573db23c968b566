#include "error.h"

namespace albert::lite {

static const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::kUsage: return "usage";
    case Kind::kData: return "bad-data";
    case Kind::kModel: return "bad-model";
    case Kind::kMemory: return "out-of-memory";
    case Kind::kConfig: return "bad-config";
    default: return "internal";
  }
}

void fail(Kind kind, const std::string& what, const Facts& facts) {
  std::string text = std::string("error[") + name_of(kind) + "] " + what;
  if (!facts.expected.empty()) text += ": expected " + facts.expected;
  if (!facts.got.empty()) text += (facts.expected.empty() ? ": got " : ", got ") + facts.got;
  if (!facts.hint.empty()) text += ". hint: " + facts.hint;
  throw Error{kind, text};
}

std::string shortened(const std::string& text, size_t most) {
  size_t size = text.size() < most ? text.size() : most;
  while (size > 0 && size < text.size() && (text[size] & 0xC0) == 0x80) --size;
  std::string found = text.substr(0, size);
  for (char& byte : found)
    if (static_cast<unsigned char>(byte) < 0x20 || byte == 0x7F) byte = ' ';
  return size < text.size() ? found + "…" : found;
}

std::string grouped(int64_t number) {
  std::string digits = std::to_string(number);
  for (int at = static_cast<int>(digits.size()) - 3; at > (number < 0); at -= 3) digits.insert(at, ",");
  return digits;
}

}  // namespace albert::lite
