#include "pieces.h"

#include <algorithm>

#include "unicode.h"
#include "utf8.h"

namespace albert::lite {

static bool begins_with_mark(const std::string& text) { return text.compare(0, 3, kSpaceMark) == 0; }

PieceEncoder::PieceEncoder(const std::string& model, Normalizer normalizer, Hardening hardening)
    : vocabulary(model), hardening(hardening), normalizer(normalizer) {
  for (size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    const Piece& piece = vocabulary.pieces[id];
    if (piece.type != kNormal || piece.text.size() < 2 || piece.text.back() != ',') continue;
    const std::u32string text = from_utf8(piece.text);
    if (text.size() > 1 && is(text[text.size() - 2], kDigit))
      digit_comma[static_cast<int32_t>(id)] = without_comma(piece.text);
  }
}

std::vector<Segment> PieceEncoder::without_comma(const std::string& piece) const {
  std::string body = piece.substr(0, piece.size() - 1);
  for (size_t at; (at = body.find(kSpaceMark)) != body.npos;) body.erase(at, 3);
  const Prepared prepared = vocabulary.prepare(body);
  const std::u32string text = from_utf8(prepared.text);
  std::vector<Segment> made;
  size_t at = 0;
  for (const Segment& segment : vocabulary.segment(prepared.text)) {
    std::string part = to_utf8(std::u32string_view(text).substr(at, segment.width));
    const bool spurious = at == 0 && !begins_with_mark(piece) && begins_with_mark(part);
    at += segment.width;
    if (spurious) part.erase(0, 3);
    if (!part.empty()) made.push_back({vocabulary.id_of(part), segment.width - spurious});
  }
  made.push_back({vocabulary.id_of(","), 1});
  return made;
}

std::vector<Segment> PieceEncoder::segments(const Prepared& prepared) const {
  std::vector<Segment> found = vocabulary.segment(prepared.text);
  if (digit_comma.empty()) return found;
  std::vector<Segment> made;
  for (const Segment& segment : found) {
    const auto rule = digit_comma.find(segment.id);
    if (rule == digit_comma.end())
      made.push_back(segment);
    else
      made.insert(made.end(), rule->second.begin(), rule->second.end());
  }
  return made;
}

std::pair<int64_t, int64_t> PieceEncoder::spelling(const std::u32string& word) const {
  const auto found = vocabulary.segment(vocabulary.prepare(to_utf8(normalizer(word).text)).text);
  const auto unknown = std::count_if(found.begin(), found.end(), [](const Segment& s) { return s.id == kUnkId; });
  return {static_cast<int64_t>(found.size()), static_cast<int64_t>(unknown)};
}

// [starts, ends) of each character that SentencePiece wrote, in the text that it read.
//
// Several characters may come from one; then they share its start, and all end where the next begins. The space put
// before the text has no source, so its interval is empty.
static void intervals(const std::vector<uint32_t>& begins, std::vector<uint32_t>& starts, std::vector<uint32_t>& ends) {
  starts.assign(begins.begin(), begins.end() - 1);
  ends.assign(begins.begin() + 1, begins.end());
  for (size_t at = ends.size() - 1; at-- > 0;)
    if (ends[at] == starts[at]) ends[at] = ends[at + 1];
  if (starts.size() > 1 && ends[0] > starts[0] && starts[1] == starts[0]) ends[0] = starts[0];
}

// The same intervals in the original of `inner`. An empty one stays empty and is where its neighbour begins.
static void trace(const Mapped& inner, std::vector<uint32_t>& starts, std::vector<uint32_t>& ends) {
  const uint32_t last = static_cast<uint32_t>(inner.text.size()) - 1;
  for (size_t at = 0; at < starts.size(); ++at) {
    const bool empty = ends[at] <= starts[at];
    starts[at] = inner.starts[std::min(starts[at], last)];
    ends[at] = empty ? starts[at] : inner.ends[std::min(ends[at] - 1, last)];
  }
}

Pieces PieceEncoder::operator()(const std::u32string& text) const {
  Mapped inner;
  if (hardening.on) {
    const Mapped source = hardened(text, hardening.whole_words, [this](const auto& word) { return spelling(word); });
    inner = normalizer(source.text);
    inner.trace(source);
  } else {
    inner = normalizer(text);
  }
  const Prepared prepared = vocabulary.prepare(to_utf8(inner.text));
  Pieces made;
  if (prepared.text.empty()) return made;
  std::vector<uint32_t> starts, ends;
  intervals(prepared.begins, starts, ends);
  trace(inner, starts, ends);
  const std::u32string written = from_utf8(prepared.text);
  size_t at = 0;
  for (const Segment& segment : segments(prepared)) {
    // A word's span excludes its space. A piece that is only the space has an empty span after it.
    const bool first = written[at] == 0x2581, alone = first && segment.width == 1;
    const uint32_t begin = starts[std::min(at + first, starts.size() - 1)];
    at += segment.width;
    made.ids.push_back(segment.id);
    made.starts.push_back(begin);
    made.ends.push_back(alone ? begin : ends[at - 1]);
  }
  return made;
}

std::string PieceEncoder::decode(const std::vector<int32_t>& ids) const {
  std::string made;
  for (int32_t id : ids) {
    if (id == kPadId || id == kClsId || id == kSepId) continue;
    std::string piece = vocabulary.pieces[id].text;
    for (size_t at; (at = piece.find(kSpaceMark)) != piece.npos;) piece.replace(at, 3, " ");
    made += piece;
  }
  const size_t first = made.find_first_not_of(' ');
  return first == made.npos ? "" : made.substr(first, made.find_last_not_of(' ') + 1 - first);
}

}  // namespace albert::lite
