// Google's text preprocessing, with a map from every character to its place in the input.
//
// In this order: collapse white space, apply NFKD, drop combining characters, lower-case. Source:
// google-research/albert, tokenization.py, `preprocess_text`.
#pragma once

#include <string>
#include <vector>

namespace albert::lite {

// Character i of `text` came from the characters [starts[i], ends[i]) of the original.
struct Mapped {
  std::u32string text;
  std::vector<uint32_t> starts, ends;

  static Mapped same(std::u32string text);
  void add(char32_t code, size_t start, size_t end);

  // The same text, mapped to what `source` was made from. `source.text` is this text's original.
  void trace(const Mapped& source);
};

struct Normalizer {
  bool lower = true, keep_accents = false, quotes = false;

  Mapped operator()(const std::u32string& original) const;
};

}  // namespace albert::lite
