// Byte strings with numbers, found by their prefixes.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace albert::lite {

class Trie {
 public:
  // `bytes` is the sum of the lengths of all strings to come.
  explicit Trie(size_t bytes);

  // False if the string is there already.
  bool add(std::string_view key, int32_t value);

  // The node behind a node and a byte; 0 if there is none.
  uint32_t step(uint32_t node, unsigned char byte) const {
    const uint32_t key = node << 8 | byte;
    for (uint32_t at = slot(key);; at = (at + 1) & mask)
      if (keys[at] == key || nexts[at] == 0) return nexts[at];
  }
  int32_t value(uint32_t node) const { return values[node]; }  // -1 where no string ends

  // The length of the longest string that `text` begins with, from `at` on; 0 for none.
  size_t longest(std::string_view text, size_t at) const;
  int32_t find(std::string_view key) const;

 private:
  uint32_t slot(uint32_t key) const { return (key * 2654435761u >> 7) & mask; }

  uint32_t mask;
  std::vector<uint32_t> keys, nexts;
  std::vector<int32_t> values;  // of each node; 0 is the root
};

}  // namespace albert::lite
