// A model folder, opened: tokenizer, network and task.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "answers.h"
#include "manifest.h"

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
  // The config.json, and the manifest, which every file was compared with before anything else was read.
  struct Opened {
    Json config;
    Manifest manifest;
  };
  static Opened read_folder(const std::string& folder);
  Model(const std::string& folder, const Options& options, const Opened& opened);
  std::vector<Encoding> rows_of(const Input& input) const;
  Precision precision_of(const Options& options, const Kernels& kernels, const Manifest& manifest);

  std::string folder;
  bool whole = false;  // int8
  std::optional<Network> network;
};

}  // namespace albert::lite
