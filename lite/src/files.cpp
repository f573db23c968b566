// What disk.cpp and, in a browser, fetched.cpp have in common.
#include "files.h"

#include "error.h"

namespace albert::lite {

void unreadable(const std::string& path, const std::string& got) {
  fail(Kind::kModel, path, {"a file that can be read", got, ""});
}

void File::read(uint64_t at, uint64_t count, void* to) const {
  if (at > size || count > size - at) unreadable(path, "one that ends too early");
  read_there(at, count, to);
}

std::string read_file(const std::string& path, uint64_t most) {
  const File file(path);
  if (file.size > most) fail(Kind::kModel, path, {"at most " + grouped(most) + " bytes", grouped(file.size), ""});
  std::string bytes(file.size, '\0');
  file.read(0, file.size, bytes.data());
  return bytes;
}

}  // namespace albert::lite
