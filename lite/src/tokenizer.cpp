#include "tokenizer.h"

#include <algorithm>
#include <set>

#include "files.h"
#include "unicode.h"

namespace albert::lite {

// --- the files of a folder ---------------------------------------------------------------------------------

static Hardening hardening_of(const Json& settings, const std::string& place) {
  const Json* version = settings.get("hardening");
  const bool none = version == nullptr || (version->is(Json::Type::kBool) && !version->truth) ||
                    (version->is(Json::Type::kNumber) && version->number == 0);
  if (none) return {};
  if (!version->is(Json::Type::kNumber) || version->number != 1)
    fail(Kind::kModel, place + ": hardening",
         {"version 1, or none", described(*version), "the model is of a later version of this package"});
  return {true, Entries{settings, place, Kind::kModel}.truth("hardening_whole_words", false)};
}

static std::string content_of(const Json& entry) {
  const Json* content = entry.is(Json::Type::kObject) ? entry.get("content") : &entry;
  return content != nullptr && content->is(Json::Type::kString) ? content->text : "";
}

// Tokens that were added to the vocabulary after its training, in whatever file.
static std::set<std::string> added_tokens(const std::string& folder, const Json& settings) {
  std::set<std::string> found;
  const auto add_all = [&](const Json* from) {
    if (from == nullptr) return;
    for (const Json& item : from->items) found.insert(content_of(item));
    for (const auto& member : from->members) found.insert(content_of(member.second));
  };
  const Json special = read_object(folder + "/special_tokens_map.json");
  add_all(settings.get("added_tokens_decoder"));
  for (const char* list : {"additional_special_tokens", "extra_special_tokens"}) {
    add_all(settings.get(list));
    add_all(special.get(list));
  }
  for (const auto& member : read_object(folder + "/added_tokens.json").members) found.insert(member.first);
  const Json whole = read_object(folder + "/tokenizer.json", Kind::kModel, "added_tokens");
  add_all(whole.get("added_tokens"));
  return found;
}

Tokenizer::Tokenizer(const std::string& folder, bool plain) {
  const std::string place = folder + "/tokenizer_config.json", model = folder + "/spiece.model";
  const Json settings = read_object(place);
  const Entries entries{settings, place, Kind::kModel};
  const Json* length = settings.get("model_max_length");
  if (length != nullptr && length->whole && length->integer > 0 && length->integer <= 65536) most = length->integer;
  if (!exists(model))
    fail(Kind::kModel, folder,
         {"a spiece.model in it", "none",
          exists(folder + "/vocab.txt") ? "WordPiece (vocab.txt) is not read here" : ""});
  const Normalizer normalizer{entries.truth("do_lower_case", true), entries.truth("keep_accents", false),
                              entries.truth("albert_quotes", false)};
  pieces.emplace(read_file(model, uint64_t{1} << 26), normalizer, plain ? Hardening{} : hardening_of(settings, place));
  case_marks = entries.truth("case_marks", false);
  const auto& first = pieces->vocabulary.pieces;
  for (const std::string& token : added_tokens(folder, settings)) {
    const bool usual = std::any_of(first.begin(), first.begin() + 5, [&](const Piece& p) { return p.text == token; });
    if (!usual && !token.empty())
      fail(Kind::kModel, folder + ": the added token \"" + shortened(token) + "\"",
           {"none", "", "the Python package `albert` reads it"});
  }
}

// --- rows --------------------------------------------------------------------------------------------------

static void add_special(Encoding& made, int32_t id, int32_t type) {
  made.row.ids.push_back(id);
  made.row.types.push_back(type);
  made.starts.push_back(0);
  made.ends.push_back(0);
  made.texts.push_back(-1);
}

static void add_pieces(Encoding& made, const Pieces& pieces, size_t from, size_t to, int32_t type) {
  for (size_t at = from; at < to; ++at) {
    made.row.ids.push_back(pieces.ids[at]);
    made.row.types.push_back(pieces.capitals.empty() ? type : pieces.capitals[at]);
    made.starts.push_back(pieces.starts[at]);
    made.ends.push_back(pieces.ends[at]);
    made.texts.push_back(static_cast<int8_t>(type));
  }
  add_special(made, kSepId, type);
}

Pieces Tokenizer::pieces_of_single(const std::u32string& text) const {
  Pieces made = (*pieces)(text);
  if (!case_marks) return made;
  for (size_t at = 0; at < made.ids.size(); ++at) {
    const auto part = std::u32string_view(text).substr(made.starts[at], made.ends[at] - made.starts[at]);
    made.capitals.push_back(part != lowered(part));
  }
  return made;
}

// How many pieces of each text stay. Pieces are removed one by one from the longer text.
static std::pair<int64_t, int64_t> kept(int64_t first, int64_t second, int64_t room) {
  if (first + second <= room) return {first, second};
  int64_t shorter = std::min(first, second);
  if (2 * shorter > room) shorter = std::min(shorter, room / 2);
  return first <= second ? std::make_pair(shorter, room - shorter) : std::make_pair(room - shorter, shorter);
}

Encoding Tokenizer::encode(const std::u32string& text, const std::u32string* pair, int64_t most) const {
  const Pieces first = pair == nullptr ? pieces_of_single(text) : (*pieces)(text);
  const Pieces second = pair == nullptr ? Pieces() : (*pieces)(*pair);
  const auto size = static_cast<int64_t>(first.ids.size()), other = static_cast<int64_t>(second.ids.size());
  const auto [left, right] = kept(size, other, most - (pair == nullptr ? 2 : 3));
  Encoding made;
  made.cut = size + other - left - right;
  add_special(made, kClsId, 0);
  add_pieces(made, first, 0, left, 0);
  if (pair != nullptr) add_pieces(made, second, 0, right, 1);
  return made;
}

std::vector<Encoding> Tokenizer::windows(const std::u32string& text, const std::u32string* pair, int64_t most,
                                         int64_t stride) const {
  const Pieces first = pair == nullptr ? pieces_of_single(text) : (*pieces)(text);
  const Pieces second = pair == nullptr ? Pieces() : (*pieces)(*pair);
  const auto size = static_cast<int64_t>(first.ids.size());
  const int64_t fixed = pair == nullptr ? 0 : std::min(size, std::max<int64_t>((most - 3) / 2, 0));
  const Pieces& moving = pair == nullptr ? first : second;
  const auto length = static_cast<int64_t>(moving.ids.size());
  const int64_t room = pair == nullptr ? most - 2 : most - 3 - fixed;
  if (room <= stride)
    fail(Kind::kConfig, "windows over a long text",
         {"a stride from 0 to " + grouped(std::max<int64_t>(room - 1, 0)) + " pieces for max_length " + grouped(most),
          grouped(stride), "use a larger max_length, a smaller stride or a shorter question"});
  std::vector<Encoding> made;
  for (int64_t start = 0;; start += room - stride) {
    Encoding one;
    one.cut = pair == nullptr ? 0 : size - fixed;
    add_special(one, kClsId, 0);
    if (pair != nullptr) add_pieces(one, first, 0, fixed, 0);
    add_pieces(one, moving, start, std::min(start + room, length), pair != nullptr);
    made.push_back(std::move(one));
    if (start + room >= length) return made;
  }
}

}  // namespace albert::lite
