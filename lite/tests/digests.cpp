// Reads lines "SIZE STEP", each followed by SIZE bytes, and writes the SHA-256 of those, added STEP at a time.
#include <algorithm>
#include <cstdio>
#include <string>

#include "sha256.h"

int main() {
  size_t size, step;
  while (std::scanf("%zu %zu", &size, &step) == 2 && std::getchar() == '\n' && step > 0) {
    std::string bytes(size, '\0');
    if (std::fread(bytes.data(), 1, size, stdin) != size) return 1;
    albert::lite::Sha256 sum;
    for (size_t at = 0; at < size; at += step) sum.add(bytes.data() + at, std::min(step, size - at));
    std::printf("%s\n", sum.digits().c_str());
    std::fflush(stdout);
  }
}
