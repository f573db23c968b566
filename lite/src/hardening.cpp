#include "hardening.h"

#include <algorithm>
#include <utility>

#include "bidi.h"
#include "unicode.h"

namespace albert::lite {

constexpr int kRounds = 4;            // a removal may expose more for the next round
constexpr size_t kMostMarks = 30;     // in a row
constexpr size_t kMostExpansion = 4;  // how much longer NFKD may make the text

using Range = std::pair<char32_t, char32_t>;

template <size_t Size>
static bool within(char32_t code, const Range (&ranges)[Size]) {
  for (const Range& range : ranges)
    if (code >= range.first && code <= range.second) return true;
  return false;
}

static bool arabic_or_indic(char32_t code) {
  static constexpr Range kRanges[] = {{0x600, 0x8FF},     {0x900, 0x109F},    {0x1780, 0x18AF},  {0x19E0, 0x19FF},
                                      {0x1A00, 0x1AFF},   {0x1B00, 0x1C4F},   {0xA840, 0xA87F},  {0xA8E0, 0xA9FF},
                                      {0xAA60, 0xAADF},   {0xABC0, 0xABFF},   {0xFB50, 0xFDFF},  {0xFE70, 0xFEFC},
                                      {0x10A60, 0x10AFF}, {0x11000, 0x1157F}, {0x1E900, 0x1E95F}};
  return within(code, kRanges);
}

static bool without_spaces(char32_t code) {
  static constexpr Range kRanges[] = {{0xE00, 0xEFF},   {0x1000, 0x109F}, {0x1780, 0x17FF}, {0x1950, 0x19FF},
                                      {0x1A20, 0x1AAD}, {0xA9E0, 0xA9FF}, {0xAA60, 0xAADF}};
  return within(code, kRanges);
}

static bool emoji(char32_t code) {
  static constexpr Range kRanges[] = {{0xA9, 0xA9},     {0xAE, 0xAE},     {0x203C, 0x2BFF},
                                      {0x3030, 0x3030}, {0x303D, 0x303D}, {0x3297, 0x3297},
                                      {0x3299, 0x3299}, {0xFE0F, 0xFE0F}, {0x1F000, 0x1FAFF}};
  return within(code, kRanges);
}

static bool jamo(char32_t code) {
  static constexpr Range kRanges[] = {{0x1100, 0x115E}, {0x1161, 0x11FF}, {0xA960, 0xA97F}, {0xD7B0, 0xD7FB}};
  return within(code, kRanges);
}

static bool without_variants(char32_t code) {  // Western letters and spaces
  static constexpr Range kRanges[] = {{0, 0xA8}, {0xAA, 0xAD}, {0xAF, 0x58F}, {0x1D00, 0x1FFF}, {0x2000, 0x200F}};
  return within(code, kRanges);
}

static bool hebrew(char32_t code) { return code >= 0x590 && code <= 0x5FF; }
static bool mongolian(char32_t code) { return code >= 0x1800 && code <= 0x18AF; }
static bool tag(char32_t code) { return code >= 0xE0020 && code <= 0xE007F; }
static bool variation(char32_t code) {
  return (code >= 0xFE00 && code <= 0xFE0F) || (code >= 0xE0100 && code <= 0xE01EF);
}

static bool always_invisible(char32_t code) {
  static constexpr Range kRanges[] = {{0xAD, 0xAD},     {0x2060, 0x2064}, {0x206A, 0x206F}, {0x3164, 0x3164},
                                      {0xFEFF, 0xFEFF}, {0xFFA0, 0xFFA0}, {0xFFF9, 0xFFFB}, {0xE0001, 0xE0001}};
  return within(code, kRanges);
}

static bool styled(char32_t code) {
  return (code >= 0x1F150 && code <= 0x1F169) || (code >= 0x1F170 && code <= 0x1F189);
}
static bool control(char32_t code) { return code < 8 || (code >= 0xE && code < 0x1C) || code == 0x7F; }
static bool ascii_letter(char32_t code) { return (code | 32) >= 'a' && (code | 32) <= 'z'; }
static bool latin_or_digit(char32_t code) { return ascii_letter(code) || (code >= '0' && code <= '9'); }

// What a rule may change. A text without any of these stays as it is, except for look-alikes and floods of marks.
static bool suspect(char32_t code) {
  static constexpr Range kRanges[] = {
      {0, 8},           {0xE, 0x1B},      {0x7F, 0x7F},      {0xAD, 0xAD},     {0x34F, 0x34F},   {0x61C, 0x61C},
      {0x115F, 0x1160}, {0x180B, 0x180F}, {0x200B, 0x200F},  {0x202A, 0x202E}, {0x2060, 0x206F}, {0x3164, 0x3164},
      {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF}, {0xFFA0, 0xFFA0},  {0xFFF9, 0xFFFB}, {0xFDFA, 0xFDFB}, {0x321D, 0x321E},
      {0x327C, 0x327C}, {0x3300, 0x33AF}, {0xE0001, 0xE01EF}};
  if (code >= 0x20 && code < 0x7F) return false;
  return within(code, kRanges) || styled(code) || is_small_capital(code);
}

namespace {

bool any(const std::u32string& text, bool (*wanted)(char32_t)) { return std::any_of(text.begin(), text.end(), wanted); }

// A text during hardening: the remaining characters, and where each came from.
struct Draft {
  Mapped now;

  const std::u32string& text() const { return now.text; }

  // Keeps the characters in this order; others are removed.
  void arrange(const std::vector<size_t>& order) {
    Mapped made;
    for (size_t at : order) made.add(now.text[at], now.starts[at], now.ends[at]);
    now = std::move(made);
  }

  void erase(const std::vector<bool>& gone) {
    std::vector<size_t> order;
    for (size_t at = 0; at < gone.size(); ++at)
      if (!gone[at]) order.push_back(at);
    if (order.size() < gone.size()) arrange(order);
  }

  void erase(bool (*unwanted)(char32_t)) {
    if (!any(text(), unwanted)) return;
    std::vector<bool> gone;
    for (char32_t code : text()) gone.push_back(unwanted(code));
    erase(gone);
  }
};

// Where invisible characters that begin at `at` end; `at` for none. `flag`: they are a flag's tags, and stay.
size_t after_invisible(const std::u32string& text, size_t at, bool& flag) {
  const char32_t code = text[at], none = 0;
  const auto run = [&](size_t from, auto wanted) {
    while (from < text.size() && wanted(text[from])) ++from;
    return from;
  };
  const bool first = at == 0, last = at + 1 == text.size();
  const char32_t before = first ? none : text[at - 1], after = last ? none : text[at + 1];
  const auto beside = [&](bool (*wanted)(char32_t)) { return (!first && wanted(before)) || (!last && wanted(after)); };
  flag = false;
  if (code == 0x1F3F4) {
    const size_t end = run(at + 1, [](char32_t each) { return each >= 0xE0030 && each <= 0xE007A; });
    flag = end - at - 1 >= 2 && end - at - 1 <= 6 && end < text.size() && text[end] == 0xE007F;
    return flag ? end + 1 : at;
  }
  if (always_invisible(code)) return at + 1;
  if (code == 0x200B) return beside(without_spaces) ? at : at + 1;
  if (code == 0x200C || code == 0x200D) {
    const bool joins = !first && !last && emoji(before) && emoji(after);
    return beside(arabic_or_indic) || joins ? at : at + 1;
  }
  if (code == 0x34F) return beside(hebrew) ? at : at + 1;
  if (code >= 0x180B && code <= 0x180F) return beside(mongolian) ? at : at + 1;
  if (code == 0x115F || code == 0x1160) return beside(jamo) ? at : at + 1;
  if (variation(code)) {
    if (!first && !without_variants(before) && !variation(before)) return at;
    const size_t end = run(at, variation);
    return end < text.size() && text[end] == 0x20E3 ? end - 1 : end;  // the last one belongs to a keycap
  }
  return tag(code) ? run(at, tag) : at;
}

void erase_invisible(Draft& draft) {
  const std::u32string& text = draft.text();
  std::vector<bool> gone(text.size());
  for (size_t at = 0; at < text.size();) {
    bool flag;
    const size_t end = after_invisible(text, at, flag);
    if (!flag) std::fill(gone.begin() + at, gone.begin() + end, true);
    at = std::max(end, at + 1);
  }
  draft.erase(gone);
}

// Puts stretches with overrides and Latin letters or digits in display order. Their characters share the span of the
// stretch, so that offsets never decrease.
void reorder(Draft& draft) {
  if (!any(draft.text(), is_override)) return;
  std::vector<size_t> order;
  size_t last = 0;
  for (const auto& [start, end] : overridden(draft.text())) {
    const std::u32string stretch = draft.text().substr(start, end - start);
    if (!any(stretch, latin_or_digit)) continue;
    for (size_t at = last; at < start; ++at) order.push_back(at);
    for (size_t at : displayed(stretch)) order.push_back(start + at);
    const uint32_t first = draft.now.starts[start], after = draft.now.ends[end - 1];
    std::fill(draft.now.starts.begin() + start, draft.now.starts.begin() + end, first);
    std::fill(draft.now.ends.begin() + start, draft.now.ends.begin() + end, after);
    last = end;
  }
  for (size_t at = last; at < draft.text().size(); ++at) order.push_back(at);
  draft.arrange(order);
}

// Each backspace deletes a character with its marks, never a line break.
void apply_backspaces(Draft& draft) {
  const std::u32string& text = draft.text();
  if (text.find(U'\b') == text.npos) return;
  std::vector<bool> gone(text.size());
  std::vector<size_t> kept;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != U'\b') {
      kept.push_back(at);
      continue;
    }
    gone[at] = true;
    while (!kept.empty() && text[kept.back()] != U'\r' && text[kept.back()] != U'\n') {
      const size_t last = kept.back();
      kept.pop_back();
      gone[last] = true;
      if (!is(text[last], kCombining)) break;
    }
  }
  draft.erase(gone);
}

// A character that becomes more than four under NFKD: U+FDFA becomes 18.
bool wide(char32_t code) {
  const bool candidate = (code >= 0x3200 && code < 0x3400) || (code >= 0xFB00 && code < 0xFE00);
  return candidate && decomposed(code).size() > kMostExpansion;
}

void bound_expansion(Draft& draft) {
  if (std::count_if(draft.text().begin(), draft.text().end(), wide) < 2) return;
  size_t expanded = 0;
  for (char32_t code : draft.text()) expanded += code < 0x80 ? 1 : decomposed(code).size();
  if (expanded > kMostExpansion * draft.text().size()) draft.erase(wide);
}

// Letters in squares and circles. Alone, such a letter is an emoji: a blood type, a car park.
void unstyle(Draft& draft) {
  std::u32string& text = draft.now.text;
  const std::u32string before = text;
  for (size_t begin = 0; begin < before.size(); ++begin) {
    if (!styled(before[begin])) continue;
    size_t end = begin;
    while (end < before.size() && styled(before[end])) ++end;
    const bool beside =
        (begin > 0 && ascii_letter(before[begin - 1])) || (end < before.size() && ascii_letter(before[end]));
    for (size_t at = begin; at < end && (end - begin > 1 || beside); ++at)
      text[at] = U'a' + (before[at] < 0x1F170 ? before[at] - 0x1F150 : before[at] - 0x1F170);
    begin = end;
  }
}

// At most 30 marks in a row.
void cap_marks(Draft& draft) {
  std::vector<bool> gone;
  size_t marks = 0;
  for (char32_t code : draft.text()) {
    marks = code >= 0x300 && is(code, kFlood) ? marks + 1 : 0;
    gone.push_back(marks > kMostMarks);
  }
  draft.erase(gone);
}

bool ascii(char32_t code) { return code < 0x80; }

void apply_rules(Draft& draft, bool whole_words, const Spell& spell) {
  if (any(draft.text(), suspect)) {
    draft.erase(control);
    erase_invisible(draft);
    reorder(draft);
    draft.erase(is_control);
    apply_backspaces(draft);
    bound_expansion(draft);
    unstyle(draft);
  }
  if (std::all_of(draft.text().begin(), draft.text().end(), ascii)) return;
  cap_marks(draft);
  if (any(draft.text(), is_small_capital) || may_fold(draft.text(), whole_words))
    draft.now.text = folded_words(draft.text(), whole_words, spell);
}

}  // namespace

Mapped hardened(const std::u32string& original, bool whole_words, const Spell& spell) {
  Draft draft{Mapped::same(original)};
  for (int round = 0; round < kRounds; ++round) {
    const std::u32string before = draft.text();
    apply_rules(draft, whole_words, spell);
    if (draft.text() == before) break;
  }
  return std::move(draft.now);
}

}  // namespace albert::lite
