// Files of a model folder, read in parts. Nothing is trusted: sizes are those of the file system.
#pragma once

#include <cstdint>
#include <string>

namespace albert::lite {

class File {
 public:
  // Throws `Error` (bad-model) for a path that is no file that can be read.
  explicit File(const std::string& path);
  File(const File&) = delete;
  ~File();

  // Throws `Error` (bad-model) unless there are so many bytes there.
  void read(uint64_t at, uint64_t size, void* to) const;

  const std::string path;
  uint64_t size = 0;

 private:
  void read_there(uint64_t at, uint64_t size, void* to) const;

  void* file = nullptr;
};

bool exists(const std::string& path);

// All of a file of at most so many bytes. Throws `Error` (bad-model).
std::string read_file(const std::string& path, uint64_t most);

// Throws `Error` (bad-model), with what is there in the place of a file.
[[noreturn]] void unreadable(const std::string& path, const std::string& got);

}  // namespace albert::lite
