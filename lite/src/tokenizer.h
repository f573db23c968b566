// From texts and pairs to the rows that the network reads: special tokens, truncation, windows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "network.h"
#include "pieces.h"

namespace albert::lite {

// A row with the place of each piece in the text that `texts` names: 0 or 1, -1 for special tokens.
struct Encoding {
  Row row;
  std::vector<uint32_t> starts, ends;
  std::vector<int8_t> texts;
  int64_t cut = 0;  // pieces that are left out
};

class Tokenizer {
 public:
  // Reads spiece.model and tokenizer_config.json. Throws `Error` (bad-model).
  Tokenizer(const std::string& folder, bool plain);

  Encoding encode(const std::u32string& text, const std::u32string* pair, int64_t most) const;

  // Neighbours share `stride` pieces. In a pair the second text is divided.
  std::vector<Encoding> windows(const std::u32string& text, const std::u32string* pair, int64_t most,
                                int64_t stride) const;

  int64_t most = 512;
  std::optional<PieceEncoder> pieces;

 private:
  // The pieces of a text that is alone; their types mark capital letters if the model was trained so.
  Pieces pieces_of_single(const std::u32string& text) const;

  bool case_marks = false;
};

}  // namespace albert::lite
