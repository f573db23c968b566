// manifest.json of a model folder: the size and the SHA-256 of each of its files.
#pragma once

#include <optional>
#include <string>

#include "json.h"

namespace albert::lite {

class Manifest {
 public:
  // Compares all files that it lists. Throws `Error` (bad-model) for a folder that differs, as the package does.
  explicit Manifest(const std::string& folder);

  // Whether it lists a file; also if there is no manifest.
  bool vouches_for(const std::string& name) const;

 private:
  std::optional<Json> files;
};

// Throws the error for a folder that differs from its manifest.
[[noreturn]] void damaged(const std::string& folder, const std::string& difference);

}  // namespace albert::lite
