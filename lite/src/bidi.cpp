#include "bidi.h"

#include <algorithm>
#include <map>

#include "unicode.h"

namespace albert::lite {

constexpr int kMostDepth = 125;
constexpr char32_t kPopEmbed = 0x202C, kPopIsolate = 0x2069, kFirstStrong = 0x2068;

static bool is_embed(char32_t code) { return code == 0x202A || code == 0x202B || code == 0x202D || code == 0x202E; }
static bool is_isolate(char32_t code) { return code >= 0x2066 && code <= 0x2068; }

bool is_override(char32_t code) { return code == 0x202D || code == 0x202E; }

bool is_control(char32_t code) {
  return is_embed(code) || is_isolate(code) || code == kPopEmbed || code == kPopIsolate || code == 0x200E ||
         code == 0x200F || code == 0x61C;
}

std::vector<std::pair<size_t, size_t>> overridden(std::u32string_view text) {
  std::vector<std::pair<size_t, size_t>> found;
  std::u32string open;
  size_t start = 0, isolates = 0;
  bool forced = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const char32_t code = text[at];
    if (is_embed(code) || is_isolate(code)) {
      if (open.empty()) start = at, forced = false, isolates = 0;
      open += code;
      isolates += is_isolate(code);
      forced = forced || is_override(code);
    } else if (code == kPopEmbed && !open.empty() && is_embed(open.back())) {
      open.pop_back();
    } else if (code == kPopIsolate && !open.empty() && isolates > 0) {
      --isolates;
      while (is_embed(open.back())) open.pop_back();
      open.pop_back();
    } else if (direction_of(code) == kB) {
      if (!open.empty() && forced) found.emplace_back(start, at);
      open.clear();
      continue;
    }
    if (forced && open.empty() && (code == kPopEmbed || code == kPopIsolate)) {
      found.emplace_back(start, at + 1);
      forced = false;
    }
  }
  if (!open.empty() && forced) found.emplace_back(start, text.size());
  return found;
}

namespace {

struct Status {
  int level;
  int override;  // a direction, or -1
  bool isolate;
};

struct Explicit {
  std::vector<int> levels;  // -1 for characters that X9 removes
  std::vector<uint32_t> types;
  std::map<size_t, size_t> matches;  // where each isolate ends
};

struct Sequence {
  std::vector<size_t> places;
  uint32_t before, after;
};

int next_level(int level, int odd) { return (level + 1) % 2 == odd ? level + 1 : level + 2; }
uint32_t direction(int level) { return level % 2 ? kR : kL; }

bool is_neutral(uint32_t kind) {
  return kind == kB || kind == kS || kind == kWS || kind == kON || kind == kLRI || kind == kRLI || kind == kFSI ||
         kind == kPDI;
}

// P2 and P3 within an isolate: 1 if its first strong character is right-to-left.
int first_strong(std::u32string_view text, size_t start) {
  int depth = 0;
  for (size_t at = start; at < text.size(); ++at) {
    if (is_isolate(text[at])) {
      ++depth;
    } else if (text[at] == kPopIsolate) {
      if (--depth < 0) return 0;
    } else if (depth == 0) {
      const uint32_t kind = direction_of(text[at]);
      if (kind == kL || kind == kR || kind == kAL) return kind != kL;
    }
  }
  return 0;
}

// X1 to X8.
struct Embedder {
  std::u32string_view text;
  std::vector<Status> stack{{0, -1, false}};
  std::vector<size_t> opened;
  int lost_isolates = 0, lost_embeddings = 0;
  Explicit made;

  void embed(char32_t code) {
    const int odd = code == 0x202B || code == 0x202E, level = next_level(stack.back().level, odd);
    const int override = code == 0x202D ? static_cast<int>(kL) : code == 0x202E ? static_cast<int>(kR) : -1;
    if (level <= kMostDepth && !lost_isolates && !lost_embeddings)
      stack.push_back({level, override, false});
    else if (!lost_isolates)
      ++lost_embeddings;
    made.levels.push_back(-1);
  }

  void isolate(size_t at) {
    const Status top = stack.back();
    made.levels.push_back(top.level);
    // Looking ahead only where needed keeps the cost linear: at most 125 times, the limit of nesting.
    const bool lost = lost_isolates || lost_embeddings || top.level + 2 > kMostDepth;
    const int odd = text[at] == kFirstStrong && !lost ? first_strong(text, at + 1) : text[at] == 0x2067;
    const int level = next_level(top.level, odd);
    if (level <= kMostDepth && !lost_isolates && !lost_embeddings) {
      stack.push_back({level, -1, true});
      opened.push_back(at);
    } else {
      ++lost_isolates;
    }
  }

  void end_isolate(size_t at) {
    if (lost_isolates) {
      --lost_isolates;
    } else if (!opened.empty()) {
      lost_embeddings = 0;
      while (!stack.back().isolate) stack.pop_back();
      stack.pop_back();
      made.matches[opened.back()] = at;
      opened.pop_back();
    }
    made.levels.push_back(stack.back().level);
  }

  void end_embedding() {
    if (lost_embeddings && !lost_isolates)
      --lost_embeddings;
    else if (!lost_isolates && stack.size() > 1 && !stack.back().isolate)
      stack.pop_back();
    made.levels.push_back(-1);
  }

  void take(size_t at) {
    const char32_t code = text[at];
    const Status top = stack.back();
    uint32_t kind = direction_of(code) == kNoDirection ? static_cast<uint32_t>(kL) : direction_of(code);
    const auto overridden_by = [&](const Status& status) {
      if (status.override >= 0) kind = static_cast<uint32_t>(status.override);
    };
    if (is_embed(code)) {
      embed(code);
    } else if (is_isolate(code)) {
      isolate(at);
      overridden_by(top);
    } else if (code == kPopIsolate) {
      end_isolate(at);
      overridden_by(stack.back());
    } else if (code == kPopEmbed) {
      end_embedding();
    } else {
      made.levels.push_back(kind == kBN ? -1 : top.level);
      overridden_by(top);
    }
    made.types.push_back(kind);
  }
};

std::vector<std::vector<size_t>> runs_of(const std::vector<size_t>& places, const std::vector<int>& levels) {
  std::vector<std::vector<size_t>> runs;
  for (size_t place : places) {
    if (runs.empty() || levels[runs.back().back()] != levels[place]) runs.emplace_back();
    runs.back().push_back(place);
  }
  return runs;
}

// BD13 and X10: isolating run sequences, each with the directions at its beginning and end.
std::vector<Sequence> sequences(std::u32string_view text, const Explicit& found, const std::vector<size_t>& places) {
  const auto& levels = found.levels;
  const auto runs = runs_of(places, levels);
  std::map<size_t, const std::vector<size_t>*> by_start;
  for (const auto& run : runs) by_start[run[0]] = &run;
  std::vector<size_t> number(text.size());
  for (size_t at = 0; at < places.size(); ++at) number[places[at]] = at;
  std::vector<bool> continued(text.size());
  for (const auto& match : found.matches) continued[match.second] = true;
  std::vector<Sequence> made;
  for (const auto& run : runs) {
    if (continued[run[0]] && text[run[0]] == kPopIsolate) continue;
    std::vector<size_t> sequence = run;
    for (auto end = found.matches.find(sequence.back()); end != found.matches.end();
         end = found.matches.find(sequence.back())) {
      const auto& next = *by_start.at(end->second);
      sequence.insert(sequence.end(), next.begin(), next.end());
    }
    const int level = levels[sequence[0]];
    const size_t first = number[sequence[0]], after = number[sequence.back()] + 1;
    const int left = first > 0 ? levels[places[first - 1]] : 0;
    const int right = after < places.size() && !is_isolate(text[sequence.back()]) ? levels[places[after]] : 0;
    made.push_back({std::move(sequence), direction(std::max(level, left)), direction(std::max(level, right))});
  }
  return made;
}

// W1 to W3.
void resolve_marks(std::vector<uint32_t>& kinds, uint32_t before) {
  uint32_t strong = before, previous = before;
  for (uint32_t& kind : kinds) {
    if (kind == kNSM)
      kind = previous == kLRI || previous == kRLI || previous == kFSI || previous == kPDI ? uint32_t{kON} : previous;
    else if (kind == kEN && strong == kAL)
      kind = kAN;
    previous = kind;
    if (kind == kL || kind == kR || kind == kAL) strong = kind;
  }
  for (uint32_t& kind : kinds)
    if (kind == kAL) kind = kR;
}

// W4 to W7.
void resolve_numbers(std::vector<uint32_t>& kinds, uint32_t before) {
  for (size_t at = 1; at + 1 < kinds.size(); ++at) {  // W4
    const uint32_t left = kinds[at - 1];
    const bool joins = (kinds[at] == kCS && (left == kEN || left == kAN)) || (kinds[at] == kES && left == kEN);
    if (joins && left == kinds[at + 1]) kinds[at] = left;
  }
  for (size_t at = 0; at < kinds.size();) {  // W5
    size_t end = at;
    while (end < kinds.size() && kinds[end] == kET) ++end;
    const bool beside = (at > 0 && kinds[at - 1] == kEN) || (end < kinds.size() && kinds[end] == kEN);
    if (end > at && beside) std::fill(kinds.begin() + at, kinds.begin() + end, kEN);
    at = end + 1;
  }
  uint32_t strong = before;
  for (uint32_t& kind : kinds) {
    if (kind == kES || kind == kET || kind == kCS) kind = kON;  // W6
    if (kind == kL || kind == kR)
      strong = kind;
    else if (kind == kEN && strong == kL)  // W7
      kind = kL;
  }
}

// N1 and N2: neutrals take the direction of both sides, or else of the embedding.
void resolve_neutrals(std::vector<uint32_t>& kinds, const Sequence& sequence, uint32_t embedding) {
  for (size_t at = 0; at < kinds.size();) {
    size_t end = at;
    while (end < kinds.size() && is_neutral(kinds[end])) ++end;
    if (end > at) {
      const uint32_t left = at == 0 ? sequence.before : kinds[at - 1] == kL ? kL : kR;
      const uint32_t right = end == kinds.size() ? sequence.after : kinds[end] == kL ? kL : kR;
      std::fill(kinds.begin() + at, kinds.begin() + end, left == right ? left : embedding);
    }
    at = end + 1;
  }
}

// W1 to W7, N1, N2, I1 and I2, in place.
void resolve(const Sequence& sequence, Explicit& found) {
  std::vector<uint32_t> kinds;
  for (size_t place : sequence.places) kinds.push_back(found.types[place]);
  resolve_marks(kinds, sequence.before);
  resolve_numbers(kinds, sequence.before);
  resolve_neutrals(kinds, sequence, direction(found.levels[sequence.places[0]]));
  for (size_t at = 0; at < kinds.size(); ++at) {
    int& level = found.levels[sequence.places[at]];
    level += level % 2 ? kinds[at] != kR : kinds[at] == kL ? 0 : kinds[at] == kR ? 1 : 2;
  }
}

// L2: from the highest level down to the lowest odd one, reverses each run of that level or higher.
void reorder(std::vector<size_t>& places, const std::vector<int>& levels) {
  int highest = 0, lowest = kMostDepth + 3;
  for (size_t place : places) {
    highest = std::max(highest, levels[place]);
    if (levels[place] % 2) lowest = std::min(lowest, levels[place]);
  }
  for (int level = highest; level >= lowest; --level) {
    for (size_t start = 0; start < places.size();) {
      size_t end = start;
      while (end < places.size() && levels[places[end]] >= level) ++end;
      std::reverse(places.begin() + start, places.begin() + end);
      start = std::max(end, start + 1);
    }
  }
}

}  // namespace

std::vector<size_t> displayed(std::u32string_view text) {
  Embedder embedder{text};
  for (size_t at = 0; at < text.size(); ++at) embedder.take(at);
  Explicit& found = embedder.made;
  std::vector<size_t> places;
  for (size_t at = 0; at < text.size(); ++at)
    if (found.levels[at] >= 0) places.push_back(at);
  for (const Sequence& sequence : sequences(text, found, places)) resolve(sequence, found);
  reorder(places, found.levels);
  places.erase(std::remove_if(places.begin(), places.end(), [&](size_t at) { return is_control(text[at]); }),
               places.end());
  return places;
}

}  // namespace albert::lite
