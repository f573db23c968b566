#include "manifest.h"

#include <algorithm>
#include <vector>

#include "files.h"
#include "sha256.h"

namespace albert::lite {

static const char kName[] = "manifest.json", kAgain[] =
    "save or copy it again (delete manifest.json after a deliberate change)";
// Files that can change an answer. That of int8 is left out: whoever reads it asks for itself.
static const char* const kModelFiles[] = {
    "config.json", "model.safetensors", "model.safetensors.index.json", "exits.safetensors", "linear.safetensors",
    "spiece.model", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "added_tokens.json",
    "special_tokens_map.json", "modules.json", "sentence_bert_config.json"};

void damaged(const std::string& folder, const std::string& difference) {
  fail(Kind::kModel, folder + " is damaged or half-written", {"files as in manifest.json", difference, kAgain});
}

static std::string sha256_of(const File& file) {
  std::vector<char> part(std::min<uint64_t>(file.size, 1 << 16));
  Sha256 sum;
  for (uint64_t at = 0; at < file.size; at += part.size()) {
    const uint64_t count = std::min<uint64_t>(part.size(), file.size - at);
    file.read(at, count, part.data());
    sum.add(part.data(), count);
  }
  return sum.digits();
}

static bool is_outside(const std::string& name) {
  return name.empty() || name[0] == '/' || ("/" + name + "/").find("/../") != std::string::npos;
}

static void compare(const std::string& folder, const std::string& name, const Entries& entry) {
  const int64_t size = entry.whole("size", -1, 0, INT64_MAX);
  const std::string sum = entry.text("sha256", ""), path = folder + "/" + name;
  if (size < 0 || sum.empty()) fail(Kind::kModel, entry.place, {"size and sha256", "an entry without", kAgain});
  if (!exists(path)) damaged(folder, shortened(name) + " is missing");
  const File file(path);
  const auto found = static_cast<int64_t>(file.size);
  if (found != size)
    damaged(folder, name + " has " + grouped(found) + " bytes, the manifest says " + grouped(size));
  if (sha256_of(file) != sum) damaged(folder, name + " does not have the SHA-256 of the manifest");
}

Manifest::Manifest(const std::string& folder) {
  const std::string place = folder + "/" + kName;
  if (!exists(place)) return;
  const Json raw = read_object(place);
  const auto listed = [](const auto& member) { return member.first == "files"; };
  if (std::none_of(raw.members.begin(), raw.members.end(), listed)) return;  // the manifest of something else
  const Entries entries = Entries{raw, place, Kind::kModel}.within("files");
  files = entries.object;
  if (files->members.empty()) fail(Kind::kModel, place, {"the files of a model", "none", kAgain});
  for (const char* name : kModelFiles)
    if (exists(folder + "/" + name) && !vouches_for(name)) damaged(folder, std::string(name) + " is not in " + kName);
  for (const auto& member : files->members) {
    const std::string& name = member.first;
    if (is_outside(name)) fail(Kind::kModel, place, {"files of its folder", shortened(name), kAgain});
    compare(folder, name, entries.within(name.c_str()));
  }
}

bool Manifest::vouches_for(const std::string& name) const { return !files || files->get(name) != nullptr; }

}  // namespace albert::lite
