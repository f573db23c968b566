#include "json.h"

#include <cstdlib>
#include <cstring>
#include <unordered_set>

#include "files.h"
#include "utf8.h"

namespace albert::lite {

constexpr int kDeepest = 100;
constexpr size_t kMostBytes = size_t{1} << 26, kMostValues = 4'000'000;

const Json* Json::get(const std::string& key) const {
  for (const auto& [name, value] : members)
    if (name == key) return value.type == Type::kNull ? nullptr : &value;
  return nullptr;
}

namespace {

struct Reader {
  const std::string& text;
  const char* wanted;
  size_t at = 0, values = 0;

  [[noreturn]] void bad(const std::string& what) const { throw what + " at byte " + std::to_string(at); }

  char peek() const { return at < text.size() ? text[at] : '\0'; }

  void skip_space() {
    while (at < text.size() && std::strchr(" \t\r\n", text[at]) != nullptr && text[at] != '\0') ++at;
  }

  void take(char expected) {
    if (at >= text.size() || text[at] != expected) bad(std::string("no '") + expected + "'");
    ++at;
  }

  bool took(const char* word) {
    const size_t size = std::strlen(word);
    if (text.compare(at, size, word) != 0) return false;
    at += size;
    return true;
  }

  Json value(int depth) {
    if (depth > kDeepest) bad("more than 100 lists or objects within each other");
    if (++values > kMostValues) bad("too many values");
    Json made;
    skip_space();
    const char first = peek();
    if (first == '{') {
      object(made, depth);
    } else if (first == '[') {
      list(made, depth);
    } else if (first == '"') {
      made.type = Json::Type::kString;
      made.text = string();
    } else if (took("true") || took("false")) {
      made.type = Json::Type::kBool;
      made.truth = first == 't';
    } else if (!took("null")) {
      number(made);
    }
    return made;
  }

  void object(Json& made, int depth) {
    made.type = Json::Type::kObject;
    std::unordered_set<std::string> keys;
    take('{');
    for (skip_space(); peek() != '}'; skip_space()) {
      if (!keys.empty()) take(',');
      skip_space();
      const std::string key = string();
      if (!keys.insert(key).second) bad("the key \"" + shortened(key) + "\" twice");
      skip_space();
      take(':');
      Json found = value(depth + 1);
      if (depth > 0 || wanted == nullptr || key == wanted) made.members.emplace_back(key, std::move(found));
    }
    take('}');
  }

  void list(Json& made, int depth) {
    made.type = Json::Type::kList;
    bool first = true;
    take('[');
    for (skip_space(); peek() != ']'; skip_space(), first = false) {
      if (!first) take(',');
      made.items.push_back(value(depth + 1));
    }
    take(']');
  }

  void digits() {
    if (peek() < '0' || peek() > '9') bad("no JSON value");
    while (peek() >= '0' && peek() <= '9') ++at;
  }

  void number(Json& made) {
    const size_t begin = at;
    if (peek() == '-') ++at;
    const bool zero = peek() == '0';
    const size_t leading = at;
    digits();
    if (zero && at > leading + 1) bad("a number that begins with 0");
    made.whole = true;
    if (peek() == '.') ++at, digits(), made.whole = false;
    if (peek() == 'e' || peek() == 'E') {
      ++at;
      if (peek() == '+' || peek() == '-') ++at;
      digits();
      made.whole = false;
    }
    const std::string spelled = text.substr(begin, at - begin);
    made.type = Json::Type::kNumber;
    made.number = std::strtod(spelled.c_str(), nullptr);
    if (made.number > 1.7e308 || made.number < -1.7e308) bad("a number that is too large");
    made.whole = made.whole && spelled.size() < 19;
    if (made.whole) made.integer = std::strtoll(spelled.c_str(), nullptr, 10);
  }

  unsigned hex() {
    unsigned code = 0;
    for (int digit = 0; digit < 4; ++digit, ++at) {
      const char* known = "0123456789abcdef0123456789ABCDEF";
      const char* found = peek() == '\0' ? nullptr : std::strchr(known, peek());
      if (found == nullptr) bad("no \\u and 4 digits");
      code = code * 16 + (found - known) % 16;
    }
    return code;
  }

  void escape(std::string& made) {
    static const char kNames[] = "\"\\/bfnrt", kMeans[] = "\"\\/\b\f\n\r\t";
    const char name = peek();
    const char* known = name == '\0' ? nullptr : std::strchr(kNames, name);
    ++at;
    if (known != nullptr) {
      made += kMeans[known - kNames];
    } else if (name == 'u') {
      char32_t code = hex();
      if (code >= 0xD800 && code < 0xDC00 && took("\\u")) {
        const unsigned low = hex();
        if (low < 0xDC00 || low >= 0xE000) bad("a lone surrogate");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      }
      if (code >= 0xD800 && code < 0xE000) bad("a lone surrogate");
      append_utf8(made, code);
    } else {
      bad("an unknown escape");
    }
  }

  std::string string() {
    std::string made;
    take('"');
    while (peek() != '"') {
      if (at >= text.size() || static_cast<unsigned char>(text[at]) < 0x20) bad("a string without end");
      if (text[at] == '\\') {
        ++at;
        escape(made);
      } else {
        made += text[at++];
      }
    }
    take('"');
    return made;
  }
};

}  // namespace

Json parse_json(const std::string& text, const std::string& place, Kind kind, const char* wanted) {
  try {
    if (text.size() > kMostBytes) throw grouped(text.size()) + " bytes";
    if (!is_utf8(text)) throw std::string("bytes that are not UTF-8");
    Reader reader{text, wanted};
    Json made = reader.value(0);
    reader.skip_space();
    if (reader.at < text.size()) reader.bad("more than one value");
    return made;
  } catch (const std::string& reason) {
    fail(kind, place, {"JSON", reason, ""});
  }
}

Json read_object(const std::string& path, Kind kind, const char* wanted) {
  Json made;
  made.type = Json::Type::kObject;
  if (!exists(path)) return made;
  made = parse_json(read_file(path, kMostBytes), path, kind, wanted);
  if (!made.is(Json::Type::kObject)) fail(kind, path, {"a JSON object", described(made), ""});
  return made;
}

std::string described(const Json& value) {
  switch (value.type) {
    case Json::Type::kNull: return "null";
    case Json::Type::kBool: return value.truth ? "true" : "false";
    case Json::Type::kNumber:
      return value.whole ? std::to_string(value.integer) : std::to_string(value.number).substr(0, 40);
    case Json::Type::kString: return "\"" + shortened(value.text) + "\"";
    case Json::Type::kList: return "a list of " + std::to_string(value.items.size());
    default: return "an object";
  }
}

void Entries::misfit(const std::string& key, const std::string& expected, const Json& got) const {
  fail(kind, place + ": " + key, {expected, described(got), ""});
}

int64_t Entries::whole(const char* key, int64_t otherwise, int64_t least, int64_t most) const {
  const Json* found = object.get(key);
  if (found == nullptr) return otherwise;
  if (!found->is(Json::Type::kNumber) || !found->whole || found->integer < least || found->integer > most)
    misfit(key, "a whole number from " + grouped(least) + " to " + grouped(most), *found);
  return found->integer;
}

double Entries::real(const char* key, double otherwise, double least, double most) const {
  const Json* found = object.get(key);
  if (found == nullptr) return otherwise;
  if (!found->is(Json::Type::kNumber) || !(found->number > least && found->number <= most))
    misfit(key, "a number above " + shortened(std::to_string(least)) + ", at most " + std::to_string(most), *found);
  return found->number;
}

bool Entries::truth(const char* key, bool otherwise) const {
  const Json* found = object.get(key);
  if (found == nullptr) return otherwise;
  if (!found->is(Json::Type::kBool)) misfit(key, "true or false", *found);
  return found->truth;
}

std::string Entries::text(const char* key, const std::string& otherwise) const {
  const Json* found = object.get(key);
  if (found == nullptr) return otherwise;
  if (!found->is(Json::Type::kString)) misfit(key, "a string", *found);
  return found->text;
}

std::vector<std::string> Entries::texts(const char* key) const {
  std::vector<std::string> made;
  const Json* found = object.get(key);
  if (found == nullptr) return made;
  if (!found->is(Json::Type::kList)) misfit(key, "a list of strings", *found);
  for (const Json& item : found->items) {
    if (!item.is(Json::Type::kString)) misfit(key, "a list of strings", item);
    made.push_back(item.text);
  }
  return made;
}

std::vector<double> Entries::reals(const char* key) const {
  std::vector<double> made;
  const Json* found = object.get(key);
  if (found == nullptr) return made;
  if (!found->is(Json::Type::kList)) misfit(key, "a list of numbers", *found);
  for (const Json& item : found->items) {
    if (!item.is(Json::Type::kNumber)) misfit(key, "a list of numbers", item);
    made.push_back(item.number);
  }
  return made;
}

Entries Entries::within(const char* key) const {
  static const Json kEmpty = [] {
    Json made;
    made.type = Json::Type::kObject;
    return made;
  }();
  const Json* found = object.get(key);
  if (found != nullptr && !found->is(Json::Type::kObject)) misfit(key, "an object", *found);
  return {found == nullptr ? kEmpty : *found, place + ": " + key, kind};
}

}  // namespace albert::lite
