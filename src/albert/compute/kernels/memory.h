// Memory that needs nothing of a library: the linker would keep one copy of its functions for all sets of instructions.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

#include "vectors.h"

namespace albert::ALBERT_ISA {

// Room for as many elements as were asked for at most; what was in it is lost when it grows.
template <class Element>
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  ~Buffer() { std::free(elements); }

  void resize(int64_t count) {
    if (count <= room) return;
    std::free(elements);
    elements = static_cast<Element*>(std::malloc(count * sizeof(Element)));
    room = elements == nullptr ? 0 : count;
    if (elements == nullptr) throw std::bad_alloc();
  }
  Element* data() { return elements; }

 private:
  Element* elements = nullptr;
  int64_t room = 0;
};

}  // namespace albert::ALBERT_ISA
