// spiece.model: the SentencePiece protobuf of a unigram model, its normalisation and its segmentation.
//
// Source: google/sentencepiece, sentencepiece_model.proto, normalizer.cc, unigram_model.cc.
#pragma once

#include <string>
#include <vector>

#include "trie.h"

namespace albert::lite {

enum PieceType { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
constexpr int32_t kPadId = 0, kUnkId = 1, kClsId = 2, kSepId = 3, kMaskId = 4;
constexpr char kSpaceMark[] = "\xE2\x96\x81";

struct Piece {
  std::string text;
  float score = 0;
  int type = kNormal;
};

// What protobuf has under the numbers that are used.
struct Proto {
  std::vector<Piece> pieces;
  std::string charsmap;
  bool unigram = true, byte_fallback = false, space_as_suffix = false;
  bool dummy_prefix = true, remove_extra_spaces = true, escape_spaces = true;
};

// Throws `Error` (bad-model) for bytes that are no SentencePiece model.
Proto parse_proto(const std::string& bytes);

// A text as SentencePiece normalises it. `begins` has for each of its characters, and for its end, the index of the
// character of the input that it came from.
struct Prepared {
  std::string text;
  std::vector<uint32_t> begins;
};

struct Segment {
  int32_t id;
  uint32_t width;  // in characters
};

class Vocabulary {
 public:
  // Throws `Error` (bad-model) for other than ALBERT's: a unigram model that begins with <pad> <unk> [CLS] [SEP]
  // [MASK].
  explicit Vocabulary(const std::string& bytes);

  Prepared prepare(const std::string& text) const;
  std::vector<Segment> segment(const std::string& prepared) const;

  // The id of a piece, of whatever type; that of <unk> for none.
  int32_t id_of(const std::string& piece) const;

  const std::vector<Piece> pieces;

 private:
  explicit Vocabulary(Proto read);

  struct Prefix {
    const char* text;
    size_t size, consumed;
  };
  Prefix next(const std::string& text, size_t at) const;
  void read_charsmap();
  size_t longest_rule(const std::string& text, size_t at, uint32_t& value) const;

  const Trie trie, symbols, reserved;
  Proto proto;                  // without its pieces
  std::vector<uint32_t> units;  // a double array: Darts-clone
  std::string replacements;     // each ends with a zero
  float unknown_score;
};

}  // namespace albert::lite
