#include "files.h"

#include <sys/stat.h>

#include <cstdio>

#include "error.h"

namespace albert::lite {

[[noreturn]] static void unreadable(const std::string& path, const std::string& got) {
  fail(Kind::kModel, path, {"a file that can be read", got, ""});
}

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

void File::read(uint64_t at, uint64_t count, void* to) const {
  if (at > size || count > size - at) unreadable(path, "one that ends too early");
  FILE* open = static_cast<FILE*>(file);
  if (std::fseek(open, static_cast<long>(at), SEEK_SET) != 0 || std::fread(to, 1, count, open) != count)
    unreadable(path, "one that cannot be read to its end");
}

bool exists(const std::string& path) {
  struct stat found;
  return ::stat(path.c_str(), &found) == 0;
}

std::string read_file(const std::string& path, uint64_t most) {
  const File file(path);
  if (file.size > most) fail(Kind::kModel, path, {"at most " + grouped(most) + " bytes", grouped(file.size), ""});
  std::string bytes(file.size, '\0');
  file.read(0, file.size, bytes.data());
  return bytes;
}

}  // namespace albert::lite
