#include "trie.h"

#include "error.h"

namespace albert::lite {

constexpr size_t kMostBytes = size_t{1} << 23;  // a node's number and a byte share 32 bits

Trie::Trie(size_t bytes) : values(1, -1) {
  if (bytes > kMostBytes)
    fail(Kind::kModel, "spiece.model", {"a vocabulary below 8 MB", grouped(bytes) + " bytes", ""});
  size_t slots = 64;
  while (slots < bytes + bytes / 2) slots *= 2;
  mask = static_cast<uint32_t>(slots - 1);
  keys.resize(slots);
  nexts.resize(slots);
}

bool Trie::add(std::string_view key, int32_t value) {
  uint32_t node = 0;
  for (unsigned char byte : key) {
    uint32_t next = step(node, byte);
    if (next == 0) {
      next = static_cast<uint32_t>(values.size());
      values.push_back(-1);
      uint32_t at = slot(node << 8 | byte);
      while (nexts[at] != 0) at = (at + 1) & mask;
      keys[at] = node << 8 | byte;
      nexts[at] = next;
    }
    node = next;
  }
  if (values[node] >= 0) return false;
  values[node] = value;
  return true;
}

size_t Trie::longest(std::string_view text, size_t at) const {
  uint32_t node = 0;
  size_t found = 0;
  for (size_t end = at; end < text.size() && (node = step(node, text[end])) != 0; ++end)
    if (values[node] >= 0) found = end + 1 - at;
  return found;
}

int32_t Trie::find(std::string_view key) const {
  uint32_t node = 0;
  for (unsigned char byte : key)
    if ((node = step(node, byte)) == 0) return -1;
  return values[node];
}

}  // namespace albert::lite
