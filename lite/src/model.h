// A model folder, opened: tokenizer, network and task.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "answers.h"

namespace albert::lite {

struct Options {
  std::string precision = "auto", instructions;
  int threads = 1;
  bool plain = false;
};

class Model {
 public:
  // Throws `Error`: bad-model, bad-config, usage for options that cannot be had.
  Model(const std::string& folder, const Options& options);

  // Throws `Error` (bad-data) for inputs that the task cannot read.
  std::vector<Output> outputs(const std::vector<Input>& inputs) const;
  std::vector<Answer> decode(const Output& output, const Decoding& decoding) const;
  std::vector<Output> vectors(const std::vector<Input>& inputs) const;
  std::vector<std::vector<Answer>> fill_mask(const std::u32string& text, int64_t top_k) const;
  Encoding encode(const std::u32string& text, const std::u32string* pair, int64_t most) const;

  std::string about() const;  // JSON

  Config config;
  Settings settings;
  Task task;
  Lengths lengths;
  Tokenizer tokenizer;

 private:
  // `raw` is the config.json: without one, nothing else in a folder is looked at.
  Model(const std::string& folder, const Options& options, const Json& raw);
  std::vector<Encoding> rows_of(const Input& input) const;
  Precision precision_of(const Options& options, const Kernels& kernels, const std::optional<Json>& manifest);

  std::string folder;
  bool whole = false;  // int8
  std::optional<Network> network;
};

}  // namespace albert::lite
