#include "lookalikes.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "unicode.h"

namespace albert::lite {

constexpr std::u32string_view kStandIns = U"sxq\u01EB";  // s, x and q drawn small are these
// Letters of formulas and names (TNFα): look-alikes only in longer words.
constexpr std::u32string_view kGreekSymbols = U"\u03B1\u03B3\u03B9\u03BD\u03C1\u03C3\u03C5\u03F1\u03F3";
constexpr std::u32string_view kOneStorey = U"\u0251\u0261";
constexpr std::u32string_view kIOrL = U"\u04C0\u04CF\u0399\u0406\u2C92\uA4F2";  // folded to i, may stand for l
constexpr int64_t kEnoughSmall = 3, kShort = 3, kLong = 4;
constexpr size_t kMostBetween = 8;  // digits and marks between two letters that meet

enum Share { kLess, kHalf, kNearlyAll };  // how much of a text's letters is Latin
enum class Demand { kNoMore, kFewer, kAWord, kNone };

struct Run {
  uint32_t script;
  int64_t count;
};

static bool contains(std::u32string_view set, char32_t code) { return set.find(code) != set.npos; }
static bool is_ascii_letter(char32_t code) { return (code | 32) >= 'a' && (code | 32) <= 'z'; }

// What a pair table has for a letter; 0 for none.
template <size_t Size>
static char32_t paired(const char32_t (&table)[Size], char32_t code) {
  for (size_t at = 0; at < Size; at += 2)
    if (table[at] == code) return table[at + 1];
  return 0;
}

static char32_t small_look(char32_t code) {
  const char32_t found = paired(kSmallCapitals, code);
  return found != 0 ? found : paired(kPhonetic, code);
}

bool is_small_capital(char32_t code) { return code >= 0x250 && small_look(code) != 0; }

// The ASCII letter that a letter looks like; 0 for none.
static char32_t latin_look(char32_t code) {
  const auto* found = std::lower_bound(std::begin(kLookalikes), std::end(kLookalikes), code);
  return found == std::end(kLookalikes) || *found != code ? 0 : kLooks[found - std::begin(kLookalikes)];
}

// The letter of a script that looks like an ASCII letter; 0 for none.
static char32_t look_in(uint32_t script, char32_t code) {
  for (size_t at = 0; at < std::size(kImitated); ++at)
    if (kImitators[at] == script && static_cast<char32_t>(kImitated[at]) == code) return kImitations[at];
  return 0;
}

// A letter of a script with look-alikes, beside Latin ones.
static bool is_other(char32_t code) {
  static constexpr char32_t kRanges[][2] = {{0x370, 0x52F},   {0x531, 0x58F},    {0x13A0, 0x167F}, {0x1C80, 0x1C8F},
                                            {0x1F00, 0x1FFF}, {0x2C80, 0x2CFF},  {0xA4D0, 0xA4FF}, {0xA640, 0xA69F},
                                            {0xAB70, 0xABBF}, {0x118A0, 0x118DF}};
  if (code < 0x250) return false;
  for (const auto& range : kRanges)
    if (code >= range[0] && code <= range[1]) return true;
  return contains(kOneStorey, code) || paired(kSmallCapitals, code) != 0;
}

static bool is_latin(char32_t code) { return is_ascii_letter(code) || (code >= 0xC0 && code <= 0x24F); }
static bool is_between(char32_t code) { return (code >= '0' && code <= '9') || (code >= 0x300 && code <= 0x36F); }

// Whether Latin stands next to a script with look-alikes, with digits or marks between allowed.
static bool meets(std::u32string_view text) {
  int last = 0;  // 1 for Latin, 2 for the others
  size_t between = 0;
  for (char32_t code : text) {
    const int now = is_latin(code) ? 1 : is_other(code) ? 2 : 0;
    if (now + last == 3 && between <= kMostBetween) return true;
    if (now != 0) {
      last = now;
      between = 0;
    } else if (is_between(code)) {
      ++between;
    } else {
      last = 0;
    }
  }
  return false;
}

bool may_fold(std::u32string_view text, bool whole_words) {
  const auto lookalike = [](char32_t code) {
    return code > 0xFFFF ? code >= 0x118A0 && code <= 0x118DF : latin_look(code) != 0;
  };
  return meets(text) || (whole_words && std::any_of(text.begin(), text.end(), lookalike));
}

static Share share_of(std::u32string_view text) {
  int64_t letters = 0, latin = 0;
  for (char32_t code : text) {
    letters += is(code, kAlpha);
    latin += is_ascii_letter(code);
  }
  const double share = static_cast<double>(latin) / static_cast<double>(std::max<int64_t>(letters, 1));
  return static_cast<Share>((share >= 0.5) + (share >= 0.9));
}

static std::vector<Run> runs_of(const std::u32string& word) {
  std::vector<Run> made;
  for (char32_t code : word) {
    const uint32_t script = script_of(code);
    if (script == kScriptNone) continue;
    if (made.empty() || made.back().script != script) made.push_back({script, 0});
    ++made.back().count;
  }
  return made;
}

static bool all_small(const std::u32string& word) {
  int64_t small = 0;
  for (char32_t code : word) {
    if (small_look(code) != 0)
      ++small;
    else if (!contains(kStandIns, code) && is(code, kAlpha))
      return false;
  }
  return small >= kEnoughSmall;
}

// The word in ASCII, in two forms if i and l look the same; none if a foreign letter looks like no ASCII letter.
static std::vector<std::u32string> to_latin(const std::u32string& word) {
  std::u32string plain, other;
  for (char32_t code : word) {
    const char32_t look = latin_look(code);
    if (look == 0 && script_of(code) != kScriptNone && script_of(code) != kScriptLatin) return {};
    plain += look == 0 ? code : look;
    other += contains(kIOrL, code) ? U'l' : plain.back();
  }
  if (plain == other) return {plain};
  return {plain, other};
}

// The word in its one other script; none if it has two, or if a Latin letter looks like no letter of the script.
static std::vector<std::u32string> to_script(const std::u32string& word, const std::vector<Run>& runs) {
  uint32_t script = kScriptNone;
  int64_t latin = 0, others = 0;
  for (const Run& run : runs) {
    (run.script == kScriptLatin ? latin : others) += run.count;
    if (run.script == kScriptLatin) continue;
    if (script != kScriptNone && script != run.script) return {};
    script = run.script;
  }
  if (latin >= others) return {};
  std::u32string made;
  for (char32_t code : word) {
    const char32_t look = look_in(script, code);
    if (look == 0 && script_of(code) == kScriptLatin) return {};
    made += look == 0 ? code : look;
  }
  return {made};
}

// What the vocabulary must say before this word is folded. `kNone`: it stays as it is. The reasons: lookalikes.py.
static Demand demand_of(const std::u32string& word, const std::vector<Run>& runs, Share share) {
  int64_t letters = 0;
  for (const Run& run : runs) letters += run.count;
  if (runs.size() == 2 && runs[0].script == kScriptLatin && (runs[1].count > 1 || share == kLess)) return Demand::kNone;
  const auto in = [&](std::u32string_view set) { return word.find_first_of(set) != word.npos; };
  const bool phonetic = in(kOneStorey);
  if (!in(kGreekSymbols) && !phonetic)
    return runs.size() == 2 && share != kNearlyAll ? Demand::kFewer : Demand::kNoMore;
  if (runs.size() > 2 && letters >= kLong && !phonetic) return Demand::kFewer;
  return letters >= kShort && share == kNearlyAll ? Demand::kAWord : Demand::kNone;
}

// The form with the fewest pieces, if it meets the demand and has no more unknown pieces; else the word.
static std::u32string accepted(const std::u32string& word, const std::vector<std::u32string>& forms, Demand demand,
                               const Spell& spell) {
  if (forms.empty()) return word;
  const auto now = spell(word);
  size_t best = 0;
  auto fewest = spell(forms[0]);
  for (size_t at = 1; at < forms.size(); ++at)
    if (const auto found = spell(forms[at]); found < fewest) best = at, fewest = found;
  const int64_t most = demand == Demand::kNoMore ? now.first : demand == Demand::kFewer ? now.first - 1 : 1;
  return fewest.first <= most && fewest.second <= now.second ? forms[best] : word;
}

static std::u32string judged(const std::u32string& word, Share share, bool whole_words, const Spell& spell) {
  const auto runs = runs_of(word);
  if (all_small(word)) {
    std::u32string made = word;
    for (char32_t& code : made) code = code == 0x1EB ? U'q' : small_look(code) != 0 ? small_look(code) : code;
    return made;
  }
  int64_t latin = 0, foreign = 0;
  for (const Run& run : runs) (run.script == kScriptLatin ? latin : foreign) += run.count;
  if (foreign == 0) return word;
  if (latin == 0) {
    const bool spoof = whole_words && share == kNearlyAll;
    return spoof ? accepted(word, to_latin(word), Demand::kFewer, spell) : word;
  }
  const auto forms = latin > foreign || share == kNearlyAll ? to_latin(word) : to_script(word, runs);
  const Demand demand = demand_of(word, runs, share);
  return demand == Demand::kNone ? word : accepted(word, forms, demand, spell);
}

std::u32string folded_words(const std::u32string& text, bool whole_words, const Spell& spell) {
  const Share share = share_of(text);
  std::u32string made = text;
  for (size_t begin = 0; begin < text.size();) {
    const auto in_word = [&](char32_t code) { return code != '_' && is(code, kWord); };
    if (!in_word(text[begin])) {
      ++begin;
      continue;
    }
    size_t end = begin;
    bool ascii = true;
    for (; end < text.size() && (in_word(text[end]) || is(text[end], kAccent)); ++end)
      ascii = ascii && text[end] < 0x80;
    if (!ascii) made.replace(begin, end - begin, judged(text.substr(begin, end - begin), share, whole_words, spell));
    begin = end;
  }
  return made;
}

}  // namespace albert::lite
