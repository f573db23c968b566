// Makes hostile text readable before ALBERT's own preprocessing. As albert/text/hardening/hardener.py, version 1.
#pragma once

#include "lookalikes.h"
#include "normalize.h"

namespace albert::lite {

struct Hardening {
  bool on = false, whole_words = false;
};

// The hardened text, mapped to the original. `spell` gives the pieces of a word in a vocabulary.
Mapped hardened(const std::u32string& original, bool whole_words, const Spell& spell);

}  // namespace albert::lite
