// Files of a model folder in a browser: the page has fetched them, and the loader gives their bytes.
#include "files.h"

#define IMPORTED(name) extern "C" __attribute__((import_module("files"), import_name(name)))
IMPORTED("size") double files_size(const char* path, size_t length);  // -1: no such file
IMPORTED("read") void files_read(const char* path, size_t length, double at, size_t count, void* to);

namespace albert::lite {

static double size_of(const std::string& path) { return files_size(path.data(), path.size()); }

File::File(const std::string& path) : path(path) {
  const double found = size_of(path);
  if (found < 0) unreadable(path, "no such file");
  size = static_cast<uint64_t>(found);
}

File::~File() = default;

void File::read_there(uint64_t at, uint64_t count, void* to) const {
  files_read(path.data(), path.size(), static_cast<double>(at), count, to);
}

bool exists(const std::string& path) { return size_of(path) >= 0; }

}  // namespace albert::lite
