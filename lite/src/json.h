// JSON as RFC 8259 has it, and no more: UTF-8 without lone surrogates, no key twice, no NaN, bounded depth.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "error.h"

namespace albert::lite {

struct Json {
  enum class Type { kNull, kBool, kNumber, kString, kList, kObject };

  Type type = Type::kNull;
  bool truth = false, whole = false;  // `whole`: a number without fraction or exponent that int64 holds
  double number = 0;
  int64_t integer = 0;
  std::string text;
  std::vector<Json> items;
  std::vector<std::pair<std::string, Json>> members;

  bool is(Type wanted) const { return type == wanted; }

  // The value of a key; nullptr if there is none, or if it is null.
  const Json* get(const std::string& key) const;
};

// `place` is named in errors, which are of this kind. Of an object's members only `wanted` are kept, if given.
Json parse_json(const std::string& text, const std::string& place, Kind kind = Kind::kModel,
                const char* wanted = nullptr);

// The JSON object in a file; an empty one if there is no file.
Json read_object(const std::string& path, Kind kind = Kind::kModel, const char* wanted = nullptr);

// Typed entries of an object. Throw `Error` for a value of another type.
struct Entries {
  const Json& object;
  const std::string place;
  const Kind kind;

  int64_t whole(const char* key, int64_t otherwise, int64_t least, int64_t most) const;
  double real(const char* key, double otherwise, double least, double most) const;
  bool truth(const char* key, bool otherwise) const;
  std::string text(const char* key, const std::string& otherwise) const;
  std::vector<std::string> texts(const char* key) const;
  std::vector<double> reals(const char* key) const;
  Entries within(const char* key) const;  // of an object below, empty if there is none

  [[noreturn]] void misfit(const std::string& key, const std::string& expected, const Json& got) const;
};

// A value in a few words, for messages.
std::string described(const Json& value);

}  // namespace albert::lite
