#include "weights.h"

#include <algorithm>
#include <cstring>

namespace albert::lite {

static const std::string kScales = ".scales";
constexpr uint64_t kMostHeader = 1 << 24, kMostElements = uint64_t{1} << 34;

[[noreturn]] static void damaged(const std::string& path, const std::string& got) {
  fail(Kind::kModel, path,
       {"a whole safetensors file", got, "the file is truncated or damaged: copy or save it again"});
}

static int size_of(const std::string& type) {
  static const std::pair<const char*, int> kTypes[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8}, {"I64", 8},
                                                       {"I32", 4}, {"I16", 2}, {"I8", 1},   {"U8", 1},  {"BOOL", 1}};
  for (const auto& [name, size] : kTypes)
    if (type == name) return size;
  return 0;
}

static uint64_t elements_of(const Shape& shape) {
  uint64_t count = 1;
  for (int64_t size : shape) count = count <= kMostElements ? count * static_cast<uint64_t>(size) : count;
  return count;
}

static Shape shape_of(const Json& value, const std::string& path) {
  Shape made;
  for (const Json& size : value.items) {
    if (!size.whole || size.integer < 0 || size.integer > int64_t{1} << 28) damaged(path, "a size out of range");
    made.push_back(size.integer);
  }
  if (!value.is(Json::Type::kList) || made.size() > 8) damaged(path, "a shape that is none");
  return made;
}

// One entry of the header, within `room` bytes of data.
Weights::Tensor Weights::tensor_of(const Json& entry, uint64_t room) const {
  const Json *type = entry.get("dtype"), *shape = entry.get("shape"), *span = entry.get("data_offsets");
  if (type == nullptr || shape == nullptr || span == nullptr || span->items.size() != 2)
    damaged(file.path, "an entry without dtype, shape and data_offsets");
  const Json &begin = span->items[0], &end = span->items[1];
  const bool ordered = begin.whole && end.whole && begin.integer >= 0 && begin.integer <= end.integer;
  if (!ordered || static_cast<uint64_t>(end.integer) > room) damaged(file.path, "a tensor beyond its end");
  const Tensor made{type->text, shape_of(*shape, file.path), static_cast<uint64_t>(begin.integer),
                    static_cast<uint64_t>(end.integer)};
  const uint64_t count = elements_of(made.shape);
  if (count > kMostElements || size_of(made.type) == 0 || count * size_of(made.type) != made.end - made.begin)
    damaged(file.path, "a tensor whose size is not that of its shape");
  return made;
}

Weights::Weights(const std::string& path) : file(path) {
  uint64_t size = 0;
  if (file.size < sizeof(size)) damaged(path, grouped(static_cast<int64_t>(file.size)) + " bytes");
  file.read(0, sizeof(size), &size);
  if (size > kMostHeader || size > file.size - sizeof(size)) damaged(path, "a header beyond its end");
  std::string text(size, '\0');
  file.read(sizeof(size), size, text.data());
  data = sizeof(size) + size;
  const Json header = parse_json(text, path);
  std::vector<std::pair<uint64_t, uint64_t>> spans;
  for (const auto& [name, entry] : header.members) {
    if (name == "__metadata__") continue;
    const Tensor& made = tensors.emplace(name, tensor_of(entry, file.size - data)).first->second;
    spans.emplace_back(made.begin, made.end);
  }
  std::sort(spans.begin(), spans.end());
  uint64_t after = 0;
  for (const auto& [begin, end] : spans) {
    if (begin != after) damaged(path, "tensors that overlap, or bytes of none");
    after = end;
  }
  if (after != file.size - data) damaged(path, "bytes behind its tensors, or too few");
}

std::vector<std::string> Weights::names() const {
  std::vector<std::string> made;
  for (const auto& [name, tensor] : tensors) {
    const size_t before = name.size() - std::min(name.size(), kScales.size());
    const auto whole = tensors.find(name.substr(0, before));
    const bool scales = name.substr(before) == kScales && whole != tensors.end() && whole->second.type == "I8";
    if (!scales) made.push_back(name);
  }
  return made;
}

static float of_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

static float of_half(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16, exponent = half >> 10 & 31, fraction = half & 1023;
  if (exponent == 31) return of_bits(sign | 0x7F800000 | fraction << 13);
  if (exponent > 0) return of_bits(sign | (exponent + 112) << 23 | fraction << 13);
  const float small = static_cast<float>(fraction) / 16777216.0f;  // 2^-24
  return sign != 0 ? -small : small;
}

std::vector<float> Weights::read_scaled(const std::string& name, const Tensor& tensor) const {
  std::vector<float> scales;
  if (has(name + kScales)) scales = read(name + kScales);
  std::vector<int8_t> whole(elements_of(tensor.shape));
  if (scales.empty() || tensor.shape.empty() || static_cast<int64_t>(scales.size()) != tensor.shape[0])
    fail(Kind::kModel, file.path + ": " + shortened(name),
         {"a scale for each of its rows in " + shortened(name) + kScales, std::to_string(scales.size()), ""});
  file.read(data + tensor.begin, tensor.end - tensor.begin, whole.data());
  const size_t width = whole.size() / scales.size();
  std::vector<float> made(whole.size());
  for (size_t at = 0; at < made.size(); ++at) made[at] = static_cast<float>(whole[at]) * scales[at / width];
  return made;
}

std::vector<float> Weights::read(const std::string& name) const {
  const Tensor& tensor = tensors.at(name);
  if (tensor.type == "I8") return read_scaled(name, tensor);
  std::vector<float> made(elements_of(tensor.shape));
  if (tensor.type == "F32") {
    file.read(data + tensor.begin, tensor.end - tensor.begin, made.data());
    return made;
  }
  if (tensor.type != "F16" && tensor.type != "BF16")
    fail(Kind::kModel, file.path + ": " + shortened(name), {"F32, F16, BF16 or I8", tensor.type, ""});
  std::vector<uint16_t> halves(made.size());
  file.read(data + tensor.begin, tensor.end - tensor.begin, halves.data());
  for (size_t at = 0; at < made.size(); ++at)
    made[at] = tensor.type == "F16" ? of_half(halves[at]) : of_bits(uint32_t{halves[at]} << 16);
  return made;
}

std::string described(const Shape& shape) {
  std::string made = "[";
  for (size_t at = 0; at < shape.size(); ++at) made += (at ? ", " : "") + std::to_string(shape[at]);
  return made + "]";
}

}  // namespace albert::lite
