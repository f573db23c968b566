// SHA-256 (FIPS 180-4), with the processor's own instructions for it where x86 has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace albert::lite {

class Sha256 {
 public:
  void add(const void* bytes, size_t size);

  // Of all that was added, as 64 hexadecimal digits. Nothing may be added after that.
  std::string digits();

 private:
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint64_t total = 0;
  unsigned char rest[64] = {};
};

}  // namespace albert::lite
