// The parts of sentencepiece_model.proto that a unigram model needs.
#include <cstring>

#include "error.h"
#include "utf8.h"
#include "vocabulary.h"

namespace albert::lite {

namespace {

[[noreturn]] void bad(const std::string& got) {
  fail(Kind::kModel, "spiece.model", {"a SentencePiece model", got, ""});
}

// One message. Fields that are unknown are skipped.
struct Message {
  const char* at;
  const char* const end;
  uint32_t field = 0, wire = 0;

  bool next() {
    if (at == end) return false;
    const uint64_t tag = varint();
    field = static_cast<uint32_t>(tag >> 3);
    wire = tag & 7;
    if (tag >> 3 == 0 || tag >> 32 != 0) bad("a field without a number");
    return true;
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at == end) bad("one that ends too early");
      const unsigned char byte = *at++;
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    bad("a number that is too long");
  }

  uint64_t number() {
    if (wire != 0) bad("a field of another type");
    return varint();
  }

  const char* take(uint64_t size) {
    if (size > static_cast<uint64_t>(end - at)) bad("one that ends too early");
    at += size;
    return at - size;
  }

  float real() {
    if (wire != 5) bad("a field of another type");
    float value;
    std::memcpy(&value, take(4), 4);
    return value;
  }

  Message message() {
    if (wire != 2) bad("a field of another type");
    const uint64_t size = varint();
    const char* begin = take(size);
    return {begin, begin + size};
  }

  std::string text() {
    const Message inner = message();
    return std::string(inner.at, inner.end);
  }

  void skip() {
    switch (wire) {
      case 0: varint(); break;
      case 1: take(8); break;
      case 2: message(); break;
      case 5: take(4); break;
      default: bad("a field of an unknown type");
    }
  }
};

Piece read_piece(Message message) {
  Piece made;
  while (message.next()) {
    switch (message.field) {
      case 1: made.text = message.text(); break;
      case 2: made.score = message.real(); break;
      case 3: made.type = static_cast<int>(message.number() & 0xFF); break;
      default: message.skip();
    }
  }
  if (made.text.empty() || !is_utf8(made.text)) bad("a piece that is empty or not UTF-8");
  if (!(made.score >= -1e30f && made.score <= 1e30f)) bad("a score that is no number");
  return made;
}

void read_trainer(Message message, Proto& made) {
  while (message.next()) {
    switch (message.field) {
      case 3: made.unigram = message.number() == 1; break;
      case 24: made.space_as_suffix = message.number() != 0; break;
      case 35: made.byte_fallback = message.number() != 0; break;
      default: message.skip();
    }
  }
}

void read_normalizer(Message message, Proto& made) {
  while (message.next()) {
    switch (message.field) {
      case 2: made.charsmap = message.text(); break;
      case 3: made.dummy_prefix = message.number() != 0; break;
      case 4: made.remove_extra_spaces = message.number() != 0; break;
      case 5: made.escape_spaces = message.number() != 0; break;
      default: message.skip();
    }
  }
}

}  // namespace

Proto parse_proto(const std::string& bytes) {
  Proto made;
  Message message{bytes.data(), bytes.data() + bytes.size()};
  while (message.next()) {
    switch (message.field) {
      case 1: made.pieces.push_back(read_piece(message.message())); break;
      case 2: read_trainer(message.message(), made); break;
      case 3: read_normalizer(message.message(), made); break;
      default: message.skip();
    }
  }
  if (made.pieces.size() > 1'000'000) bad(grouped(made.pieces.size()) + " pieces");
  return made;
}

}  // namespace albert::lite
