// Texts as SentencePiece pieces with offsets, exactly the pieces that the published models saw.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "hardening.h"
#include "normalize.h"
#include "vocabulary.h"

namespace albert::lite {

// Piece i came from the characters [starts[i], ends[i]) of the text. `capitals` is empty, or 1 for pieces with such.
struct Pieces {
  std::vector<int32_t> ids, capitals;
  std::vector<uint32_t> starts, ends;
};

class PieceEncoder {
 public:
  PieceEncoder(const std::string& model, Normalizer normalizer, Hardening hardening);

  Pieces operator()(const std::u32string& text) const;

  // The text of pieces, without special tokens.
  std::string decode(const std::vector<int32_t>& ids) const;

  const Vocabulary vocabulary;
  const Hardening hardening;

 private:
  std::vector<Segment> segments(const Prepared& prepared) const;
  std::vector<Segment> without_comma(const std::string& piece) const;
  std::pair<int64_t, int64_t> spelling(const std::u32string& word) const;

  Normalizer normalizer;
  // The pieces of "9,": those without its comma, then the comma. Source: google-research/albert, `encode_pieces`.
  std::map<int32_t, std::vector<Segment>> digit_comma;
};

}  // namespace albert::lite
