#include "vocabulary.h"

#include <algorithm>
#include <cfloat>
#include <cstring>

#include "error.h"
#include "utf8.h"

namespace albert::lite {

constexpr float kUnknownPenalty = 10;
constexpr size_t kMostRules = 32;  // that begin a text: SentencePiece looks at no more

enum Class { kSegments, kSymbols, kReserved };

static bool belongs(const Piece& piece, Class wanted) {
  if (wanted == kSymbols) return piece.type == kUserDefined;
  const bool segment = piece.type == kNormal || piece.type == kUserDefined || piece.type == kUnused;
  return segment == (wanted == kSegments);
}

// The pieces of a class by their texts.
static Trie trie_of(const std::vector<Piece>& pieces, Class wanted) {
  size_t bytes = 0;
  for (const Piece& piece : pieces) bytes += belongs(piece, wanted) ? piece.text.size() : 0;
  Trie made(bytes);
  for (size_t id = 0; id < pieces.size(); ++id)
    if (belongs(pieces[id], wanted) && !made.add(pieces[id].text, static_cast<int32_t>(id)))
      fail(Kind::kModel, "spiece.model", {"different pieces", "\"" + shortened(pieces[id].text) + "\" twice", ""});
  return made;
}

static void require_ours(const Proto& proto, const std::vector<Piece>& pieces) {
  static const char* const kFirst[] = {"<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"};
  if (!proto.unigram || proto.byte_fallback || proto.space_as_suffix)
    fail(Kind::kModel, "spiece.model", {"a unigram model without byte fallback or suffixes", "", ""});
  std::string got;
  for (size_t at = 0; at < 5 && at < pieces.size(); ++at) got += (at ? " " : "") + pieces[at].text;
  bool same = pieces.size() > 5;
  for (size_t at = 0; same && at < 5; ++at) same = pieces[at].text == kFirst[at];
  for (size_t at = 0; same && at < pieces.size(); ++at) same = (pieces[at].type == kUnknown) == (at == kUnkId);
  if (!same)
    fail(Kind::kModel, "the vocabulary's first five pieces",
         {"<pad> <unk> [CLS] [SEP] [MASK], and others", shortened(got), ""});
}

Vocabulary::Vocabulary(const std::string& bytes) : Vocabulary(parse_proto(bytes)) {}

Vocabulary::Vocabulary(Proto read)
    : pieces(std::move(read.pieces)),
      trie(trie_of(pieces, kSegments)),
      symbols(trie_of(pieces, kSymbols)),
      reserved(trie_of(pieces, kReserved)),
      proto(std::move(read)) {
  require_ours(proto, pieces);
  float least = FLT_MAX;
  for (const Piece& piece : pieces)
    if (piece.type == kNormal) least = std::min(least, piece.score);
  unknown_score = least - kUnknownPenalty;
  read_charsmap();
}

// <size of the trie in 4 bytes><trie><replacements>
void Vocabulary::read_charsmap() {
  const std::string& blob = proto.charsmap;
  if (blob.empty()) return;
  uint32_t size = 0;
  if (blob.size() > sizeof(size)) std::memcpy(&size, blob.data(), sizeof(size));
  if (blob.size() <= sizeof(size) || size < 4 || size % 4 != 0 || size >= blob.size() - sizeof(size))
    fail(Kind::kModel, "spiece.model", {"a table of characters", "a damaged one", ""});
  units.resize(size / 4);
  std::memcpy(units.data(), blob.data() + sizeof(size), size);
  replacements = blob.substr(sizeof(size) + size);
  if (!is_utf8(replacements) || replacements.back() != '\0')
    fail(Kind::kModel, "spiece.model", {"replacements in UTF-8", "others", ""});
  proto.charsmap.clear();
}

int32_t Vocabulary::id_of(const std::string& piece) const {
  for (const Trie* found : {&reserved, &trie})
    if (const int32_t id = found->find(piece); id >= 0) return id;
  return kUnkId;
}

// The length of the longest rule that the text begins with, and where its replacement stands; 0 for none.
size_t Vocabulary::longest_rule(const std::string& text, size_t at, uint32_t& value) const {
  const auto offset = [](uint32_t unit) { return unit >> 10 << ((unit & 512) >> 6); };
  size_t longest = 0, rules = 0;
  if (units.empty()) return 0;
  uint32_t node = offset(units[0]);
  for (size_t end = at; end < text.size() && rules < kMostRules; ++end) {
    const unsigned char byte = text[end];
    node ^= byte;
    if (node >= units.size() || (units[node] & 0x800000FF) != byte) break;
    const uint32_t unit = units[node];
    node ^= offset(unit);
    if (node >= units.size()) break;
    if ((unit >> 8 & 1) == 0) continue;
    const uint32_t found = units[node] & 0x7FFFFFFF;
    if (found >= replacements.size() || (replacements[found] & 0xC0) == 0x80) break;
    ++rules;
    value = found;
    longest = end + 1 - at;
  }
  return longest;
}

// What the beginning of the rest becomes: a symbol stays, the longest rule applies, else a character stays.
Vocabulary::Prefix Vocabulary::next(const std::string& text, size_t at) const {
  if (const size_t size = symbols.longest(text, at)) return {text.data() + at, size, size};
  uint32_t value = 0;
  if (const size_t size = longest_rule(text, at, value)) {
    const char* found = replacements.data() + value;
    return {found, std::strlen(found), size};
  }
  char32_t code;
  size_t after = at;
  next_utf8(text, after, code);  // the text is UTF-8
  return {text.data() + at, after - at, after - at};
}

static uint32_t characters(const char* text, size_t size) {
  uint32_t count = 0;
  for (size_t at = 0; at < size; ++at) count += (text[at] & 0xC0) != 0x80;
  return count;
}

Prepared Vocabulary::prepare(const std::string& text) const {
  Prepared made;
  size_t at = 0;
  uint32_t consumed = 0;  // characters
  const auto take = [&](const Prefix& prefix) {
    consumed += characters(text.data() + at, prefix.consumed);
    at += prefix.consumed;
  };
  const char* const mark = proto.escape_spaces ? kSpaceMark : " ";
  const size_t mark_size = std::strlen(mark);
  const auto add_space = [&] {
    made.text.append(mark, mark_size);
    made.begins.push_back(consumed);
  };
  while (proto.remove_extra_spaces && at < text.size()) {
    const Prefix prefix = next(text, at);
    if (prefix.size != 1 || *prefix.text != ' ') break;
    take(prefix);
  }
  if (at == text.size()) return made;
  if (proto.dummy_prefix) add_space();
  bool after_space = proto.remove_extra_spaces;
  while (at < text.size()) {
    const Prefix prefix = next(text, at);
    const char* from = prefix.text;
    const char* const end = from + prefix.size;
    while (after_space && from < end && *from == ' ') ++from;
    if (from < end) after_space = proto.remove_extra_spaces && end[-1] == ' ';
    for (; from < end; ++from) {
      if (*from == ' ') {
        add_space();
        continue;
      }
      made.text += *from;
      if ((*from & 0xC0) != 0x80) made.begins.push_back(consumed);
    }
    take(prefix);
  }
  while (proto.remove_extra_spaces && made.text.size() >= mark_size &&
         made.text.compare(made.text.size() - mark_size, mark_size, mark) == 0) {
    made.text.resize(made.text.size() - mark_size);
    consumed = made.begins.back();
    made.begins.pop_back();
  }
  made.begins.push_back(consumed);
  return made;
}

std::vector<Segment> Vocabulary::segment(const std::string& text) const {
  struct Best {
    int32_t id = -1, from = -1;
    float score = 0;
  };
  std::vector<Best> ends(text.size() + 1);
  const auto improve = [&](size_t end, float score, int32_t id, size_t from) {
    Best& best = ends[end];
    if (best.from < 0 || score > best.score) best = {id, static_cast<int32_t>(from), score};
  };
  for (size_t begin = 0; begin < text.size();) {
    const float before = ends[begin].score;
    size_t after = begin;
    char32_t code;
    if (!next_utf8(text, after, code)) after = begin + 1;
    bool alone = false;
    uint32_t node = 0;
    for (size_t end = begin; end < text.size() && (node = trie.step(node, text[end])) != 0;) {
      ++end;
      const int32_t id = trie.value(node);
      if (id < 0 || pieces[id].type == kUnused) continue;
      improve(end, pieces[id].score + before, id, begin);
      alone = alone || end == after;
    }
    if (!alone) improve(after, unknown_score + before, kUnkId, begin);
    begin = after;
  }
  std::vector<Segment> made;
  for (size_t end = text.size(); end > 0; end = ends[end].from) {
    const uint32_t width = characters(text.data() + ends[end].from, end - ends[end].from);
    // Neighbours that are unknown are one piece.
    if (!made.empty() && ends[end].id == kUnkId && made.back().id == kUnkId)
      made.back().width += width;
    else
      made.push_back({ends[end].id, width});
  }
  std::reverse(made.begin(), made.end());
  return made;
}

}  // namespace albert::lite
