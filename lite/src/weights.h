// Tensors of a safetensors file, read one by one as float32. A matrix NAME may be int8 beside NAME.scales, a scale a row.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "files.h"
#include "json.h"

namespace albert::lite {

using Shape = std::vector<int64_t>;

class Weights {
 public:
  // Reads and checks the header. Throws `Error` (bad-model) for a file that is not whole.
  explicit Weights(const std::string& path);

  bool has(const std::string& name) const { return tensors.count(name) > 0; }
  const Shape& shape(const std::string& name) const { return tensors.at(name).shape; }
  std::vector<std::string> names() const;

  // The values, from F32, F16, BF16 or scaled I8. The tensor must be there.
  std::vector<float> read(const std::string& name) const;

 private:
  struct Tensor {
    std::string type;
    Shape shape;
    uint64_t begin, end;
  };
  Tensor tensor_of(const Json& entry, uint64_t room) const;
  std::vector<float> read_scaled(const std::string& name, const Tensor& tensor) const;

  File file;
  uint64_t data = 0;
  std::map<std::string, Tensor> tensors;
};

std::string described(const Shape& shape);

}  // namespace albert::lite
