// The order in which a reader sees text with directional controls: UAX #9 for a stretch within a left-to-right line.
//
// N0 (paired brackets) and L1 (white space at line ends) are left out, because they move no letters.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace albert::lite {

bool is_control(char32_t code);   // a directional control
bool is_override(char32_t code);  // one that forces a direction

// [start, end) of each outermost embedding or isolate that contains an override, to its end or that of its line.
std::vector<std::pair<size_t, size_t>> overridden(std::u32string_view text);

// Indices of the characters in display order, from left to right, without the controls.
std::vector<size_t> displayed(std::u32string_view text);

}  // namespace albert::lite
