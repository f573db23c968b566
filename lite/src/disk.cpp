// Files of a model folder on a disk.
#include <sys/stat.h>

#include <cstdio>

#include "files.h"

namespace albert::lite {

File::File(const std::string& path) : path(path) {
  struct stat found;
  if (::stat(path.c_str(), &found) != 0) unreadable(path, "no such file");
  if (!S_ISREG(found.st_mode)) unreadable(path, "something else");  // a pipe might never end
  file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) unreadable(path, "none that can be opened");
  size = static_cast<uint64_t>(found.st_size);
}

File::~File() {
  if (file != nullptr) std::fclose(static_cast<FILE*>(file));
}

void File::read_there(uint64_t at, uint64_t count, void* to) const {
  FILE* open = static_cast<FILE*>(file);
  if (std::fseek(open, static_cast<long>(at), SEEK_SET) != 0 || std::fread(to, 1, count, open) != count)
    unreadable(path, "one that cannot be read to its end");
}

bool exists(const std::string& path) {
  struct stat found;
  return ::stat(path.c_str(), &found) == 0;
}

}  // namespace albert::lite
