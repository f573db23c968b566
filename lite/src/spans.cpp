// Logits of pieces as parts of a text: entities, and answers to questions. As albert/tasks/ner.py and qa.py.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <string_view>

#include "answers.h"
#include "utf8.h"

namespace albert::lite {

constexpr size_t kConsidered = 20;  // the best starts and the best ends per window; all their pairs are compared
constexpr double kUntuned = 0.5;    // the threshold if "" is allowed and none was tuned

static std::string slice(const std::u32string& text, size_t start, size_t end) {
  return to_utf8(std::u32string_view(text).substr(start, end - start));
}

// --- windows -----------------------------------------------------------------------------------------------

// A piece of a text: its window, its place there, its characters.
struct Placed {
  size_t window, piece;
  uint32_t start, end;
};

// The pieces with characters, in the text's order, each once: of two windows that share some, the left one has the
// first half.
static std::vector<Placed> stitched(const std::vector<Encoding>& windows) {
  std::vector<std::vector<Placed>> kept;
  for (size_t window = 0; window < windows.size(); ++window) {
    const Encoding& own = windows[window];
    kept.emplace_back();
    for (size_t at = 0; at < own.starts.size(); ++at)
      if (own.ends[at] > own.starts[at]) kept.back().push_back({window, at, own.starts[at], own.ends[at]});
    if (window == 0 || kept[window].empty() || kept[window - 1].empty()) continue;
    auto &left = kept[window - 1], &right = kept[window];
    const uint32_t last = left.back().start;
    const size_t shared = std::upper_bound(right.begin(), right.end(), last,
                                           [](uint32_t at, const Placed& piece) { return at < piece.start; }) -
                          right.begin();
    left.resize(left.size() - std::min(left.size(), shared - shared / 2));
    right.erase(right.begin(), right.begin() + shared / 2);
  }
  std::vector<Placed> made;
  for (const auto& pieces : kept) made.insert(made.end(), pieces.begin(), pieces.end());
  return made;
}

// --- entities ----------------------------------------------------------------------------------------------

// A part of a text with one tag: a word, or under some aggregations a piece.
struct Unit {
  uint32_t start, end;
  std::vector<size_t> pieces;
};

// The words with their pieces, in order. A piece belongs to the word in which it begins, and a word extends to the end
// of its pieces. Words without pieces are left out.
static std::vector<Unit> units_of(const std::u32string& text, const std::vector<Placed>& pieces, bool by_piece) {
  std::vector<Unit> made;
  const auto places = by_piece ? decltype(words(text))() : words(text);
  if (!by_piece && places.empty()) return made;
  size_t owner_before = places.size();
  for (size_t at = 0; at < pieces.size(); ++at) {
    if (by_piece) {
      made.push_back({pieces[at].start, pieces[at].end, {at}});
      continue;
    }
    const auto after = std::upper_bound(places.begin(), places.end(), pieces[at].start,
                                        [](uint32_t start, const auto& word) { return start < word.first; });
    const size_t owner = std::max<std::ptrdiff_t>(after - places.begin() - 1, 0);
    if (owner != owner_before) {
      const uint32_t begin = made.empty() ? places[owner].first : std::max(places[owner].first, made.back().end);
      made.push_back({begin, places[owner].second, {}});
      owner_before = owner;
    }
    made.back().pieces.push_back(at);
    made.back().end = std::max(places[owner].second, pieces[at].end);
  }
  return made;
}

using Rows = std::vector<std::vector<float>>;  // probabilities, a row a piece

// The probabilities of a unit from those of its pieces.
static std::vector<float> pool(const Unit& unit, const Rows& rows, Aggregation aggregation) {
  std::vector<float> made = rows[unit.pieces[0]];
  const auto greatest = [](const std::vector<float>& row) { return *std::max_element(row.begin(), row.end()); };
  for (size_t at = 1; at < unit.pieces.size(); ++at) {
    const std::vector<float>& row = rows[unit.pieces[at]];
    if (aggregation == Aggregation::kMax && greatest(row) > greatest(made)) made = row;
    if (aggregation == Aggregation::kAverage)
      for (size_t label = 0; label < row.size(); ++label) made[label] += row[label];
  }
  if (aggregation == Aggregation::kAverage)
    for (float& value : made) value /= static_cast<float>(unit.pieces.size());
  return made;
}

// The kind of a step between labels, which are O, then B- of every type, then I- of every type. From O to O, B-, I-: 0,
// 1, 2. From B- or I- to O, B-, I- of the same type, I- of another one: 3, 4, 5, 6.
static size_t step_of(size_t from, size_t to, size_t types) {
  const size_t row = to == 0 ? 0 : to <= types ? 1 : 2;
  if (from == 0) return row;
  return 3 + row + (row == 2 && (from - 1) % types != (to - 1) % types);
}

// The labels of all units: each its own best one, or, with the steps that training tuned, those that are best together.
static std::vector<size_t> path_of(const Rows& units, const std::vector<double>& tuned) {
  std::vector<size_t> path;
  if (units.empty() || tuned.empty()) {
    for (const auto& unit : units) path.push_back(std::max_element(unit.begin(), unit.end()) - unit.begin());
    return path;
  }
  const size_t labels = units[0].size(), count = units.size();
  std::vector<double> total((count + 1) * labels, -std::numeric_limits<double>::infinity());
  total[0] = 0;  // the text's start is like a word without an entity
  std::vector<size_t> before(count * labels, 0);
  for (size_t unit = 0; unit < count; ++unit) {
    const double* last = total.data() + unit * labels;
    for (size_t to = 0; to < labels; ++to) {
      const auto reached = [&](size_t from) { return last[from] + tuned[step_of(from, to, labels / 2)]; };
      size_t& best = before[unit * labels + to];
      for (size_t from = 1; from < labels; ++from)
        if (reached(from) > reached(best)) best = from;
      total[(unit + 1) * labels + to] = reached(best) + std::log(std::max(units[unit][to], 1e-12f));
    }
  }
  path.resize(count);
  size_t at = std::max_element(total.end() - labels, total.end()) - (total.end() - labels);
  for (size_t unit = count; unit-- > 0; at = before[unit * labels + at]) path[unit] = at;
  return path;
}

struct Tag {
  char prefix;
  std::string kind;
};

// "B-creative-work" -> B, creative-work. A label without a prefix counts as I-. L, U and M are E, S and I.
static Tag split_tag(const std::string& tag) {
  if (tag == "O") return {'O', ""};
  const std::string_view known = "BIESLUM", means = "BIESESI";
  const size_t at = tag.size() > 1 && tag[1] == '-' ? known.find(tag[0]) : known.npos;
  return at == known.npos ? Tag{'I', tag} : Tag{means[at], tag.substr(2)};
}

static bool begins(const Tag& before, const Tag& tag) {
  const bool single = tag.prefix == 'B' || tag.prefix == 'S';
  const bool closed = before.prefix == 'O' || before.prefix == 'E' || before.prefix == 'S';
  return tag.prefix != 'O' && (single || closed || before.kind != tag.kind);
}

static Answer entity(const std::u32string& text, const std::string& label, double score, size_t start, size_t end) {
  Answer made{label, slice(text, start, end), score};
  made.start = static_cast<int64_t>(start), made.end = static_cast<int64_t>(end);
  return made;
}

// The spans that tags of any scheme represent.
static std::vector<Answer> grouped_entities(const std::u32string& text, const std::vector<Unit>& units,
                                            const std::vector<std::string>& tags, const std::vector<float>& scores) {
  std::vector<Answer> made;
  Tag before{'O', ""};
  size_t start = 0;
  bool open = false;
  for (size_t at = 0; at <= units.size(); ++at) {
    const Tag tag = at < units.size() ? split_tag(tags[at]) : Tag{'O', ""};
    const bool is_new = begins(before, tag);
    if (open && (is_new || tag.prefix == 'O')) {
      const float sum = std::accumulate(scores.begin() + start, scores.begin() + at, 0.0f);
      made.push_back(
          entity(text, before.kind, sum / static_cast<float>(at - start), units[start].start, units[at - 1].end));
      open = false;
    }
    if (is_new) start = at, open = true;
    before = tag;
  }
  return made;
}

std::vector<Answer> entity_answers(const Output& output, const Config& config, const Settings& settings,
                                   const Decoding& decoding) {
  const std::u32string& text = output.input.text;
  const bool each = decoding.aggregation == Aggregation::kNone, simple = decoding.aggregation == Aggregation::kSimple;
  const std::vector<Placed> pieces = stitched(output.rows);
  const std::vector<Unit> units = units_of(text, pieces, each || simple);
  const size_t labels = config.labels.size();
  Rows rows;
  for (const Placed& piece : pieces)
    rows.push_back(softmax(output.logits[piece.window].values.data() + piece.piece * labels, labels));
  Rows found;
  for (const Unit& unit : units) found.push_back(pool(unit, rows, decoding.aggregation));
  const std::vector<size_t> best = path_of(found, each || simple ? std::vector<double>() : settings.thresholds);
  std::vector<std::string> tags;
  std::vector<float> scores;
  for (size_t at = 0; at < units.size(); ++at) {
    tags.push_back(config.labels[best[at]]);
    scores.push_back(found[at][best[at]]);
  }
  if (!each) return grouped_entities(text, units, tags, scores);
  std::vector<Answer> made;
  for (size_t at = 0; at < units.size(); ++at) {
    if (tags[at] == "O") continue;
    made.push_back(entity(text, tags[at], scores[at], units[at].start, units[at].end));
    made.back().index = static_cast<int64_t>(pieces[units[at].pieces[0]].piece);
  }
  return made;
}

// --- answers -----------------------------------------------------------------------------------------------

using Place = std::pair<uint32_t, uint32_t>;

// Parts of a context with their probabilities, in the order in which they were found.
struct Weighed {
  std::vector<std::pair<Place, double>> found;
  std::map<Place, size_t> number;
  double null = 1;  // the probability of no answer: that of the window where it is lowest

  void add(Place place, double score) {
    const auto [entry, is_new] = number.emplace(place, found.size());
    if (is_new)
      found.emplace_back(place, score);
    else
      found[entry->second].second = std::max(found[entry->second].second, score);
  }
};

static std::vector<size_t> best_of(const std::vector<float>& values) {  // [CLS] comes first, and is left out
  std::vector<size_t> order(values.size() - 1);
  std::iota(order.begin(), order.end(), size_t{1});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] > values[b]; });
  order.resize(std::min(order.size(), kConsidered));
  return order;
}

// Adds the likeliest parts in a window: a part's probability is that of its start times that of its end.
static void weigh(const Encoding& window, const Logits& logits, int64_t longest, Weighed& weighed) {
  std::vector<size_t> solid = {0};
  for (size_t at = 0; at < window.starts.size(); ++at)
    if (window.texts[at] == 1 && window.ends[at] > window.starts[at]) solid.push_back(at);
  std::vector<float> starts, ends;
  for (size_t at : solid) {
    starts.push_back(logits.values[2 * at]);
    ends.push_back(logits.values[2 * at + 1]);
  }
  starts = softmax(starts.data(), starts.size());
  ends = softmax(ends.data(), ends.size());
  weighed.null = std::min(weighed.null, static_cast<double>(starts[0] * ends[0]));
  const std::vector<size_t> lasts = best_of(ends);
  for (size_t first : best_of(starts))
    for (size_t last : lasts) {
      const int64_t length = static_cast<int64_t>(last) - static_cast<int64_t>(first) + 1;
      if (length > 0 && length <= longest)
        weighed.add({window.starts[solid[first]], window.ends[solid[last]]}, starts[first] * ends[last]);
    }
}

static Answer answer_at(const std::u32string& text, const std::pair<Place, double>& found) {
  const auto [start, end] = found.first;
  Answer made{slice(text, start, end), "", found.second};
  made.start = start, made.end = end;
  return made;
}

std::vector<Answer> span_answers(const Output& output, const Settings& settings, const Decoding& decoding) {
  Weighed weighed;
  for (size_t window = 0; window < output.rows.size(); ++window)
    weigh(output.rows[window], output.logits[window], decoding.max_answer, weighed);
  auto& found = weighed.found;
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  const size_t most = decoding.top_k == 0 ? found.size() + 1 : static_cast<size_t>(decoding.top_k);
  found.resize(std::min(found.size(), most));
  Answer none{"", "", weighed.null};
  none.start = none.end = 0;
  if (found.empty()) return {none};
  std::vector<Answer> made;
  for (const auto& each : found) made.push_back(answer_at(*output.input.pair, each));
  const bool silent = decoding.no_answer < 0 ? !settings.thresholds.empty() : decoding.no_answer == 1;
  if (silent) {
    const double both = weighed.null + made[0].score, share = both > 0 ? weighed.null / both : 1;
    size_t at = 0;
    if (share <= (settings.thresholds.empty() ? kUntuned : settings.thresholds[0]))
      at = 1 + std::count_if(made.begin() + 1, made.end(), [&](const Answer& a) { return a.score >= weighed.null; });
    made.insert(made.begin() + at, none);
  }
  made.resize(std::min(made.size(), most));
  return made;
}

}  // namespace albert::lite
