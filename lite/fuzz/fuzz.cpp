// Mutates model files and texts, and asks for answers: nothing may crash, hang or be out of bounds.
//
//     fuzz COUNT SEED FOLDER...
//
// The folders are small models, as lite/fuzz/models.py writes them. Each round copies nothing but the file that it
// changes. Build it with -DALBERT_LITE_SANITIZE=ON.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "albert_lite.h"

namespace fs = std::filesystem;
using Random = std::mt19937_64;

static const char kManifest[] = "manifest.json";

static size_t below(Random& random, size_t count) { return count == 0 ? 0 : random() % count; }

static std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

static void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

static const char* const kValues[] = {"0",
                                      "-1",
                                      "1",
                                      "2",
                                      "3",
                                      "7",
                                      "16",
                                      "511",
                                      "65536",
                                      "4294967296",
                                      "9223372036854775807",
                                      "99999999999999999999",
                                      "1e308",
                                      "1e-300",
                                      "0.5",
                                      "-0.0",
                                      "null",
                                      "true",
                                      "[]",
                                      "{}",
                                      "\"\"",
                                      "\"x\"",
                                      "[0]",
                                      "[[[[]]]]",
                                      "\"\\ud800\""};

// Replaces one number, word or string of a JSON text.
static void change_value(std::string& bytes, Random& random) {
  size_t at = below(random, bytes.size());
  const char* const ends = ",:[]{} \n\t";
  at = bytes.find_first_of(ends, at);
  if (at == bytes.npos) return;
  at = bytes.find_first_not_of(ends, at);
  if (at == bytes.npos) return;
  const size_t end = std::min(bytes.find_first_of(ends, at), bytes.size());
  bytes.replace(at, end - at, kValues[below(random, std::size(kValues))]);
}

static void change_bytes(std::string& bytes, Random& random) {
  // Most of what is read with care stands at the beginning.
  const size_t reach = below(random, 2) ? bytes.size() : std::min<size_t>(bytes.size(), 600);
  const size_t at = below(random, reach);
  switch (below(random, 7)) {
    case 0: bytes.resize(at); break;
    case 1: bytes.insert(at, 1 + below(random, 9), static_cast<char>(random())); break;
    case 2: bytes.erase(at, 1 + below(random, 9)); break;
    case 3:
      for (size_t each = at; each < std::min(bytes.size(), at + 8); ++each) bytes[each] = static_cast<char>(random());
      break;
    case 4:
      for (size_t each = at; each < std::min(bytes.size(), at + 4); ++each) bytes[each] = below(random, 2) ? '\xFF' : 0;
      break;
    case 5: bytes.insert(at, bytes.substr(below(random, bytes.size()), below(random, 40))); break;
    default:
      if (!bytes.empty()) bytes[at] ^= static_cast<char>(1 << below(random, 8));
  }
}

static std::string mutated(std::string bytes, bool json, Random& random) {
  for (size_t times = 1 + below(random, 3); times > 0; --times)
    json&& below(random, 3) ? change_value(bytes, random) : change_bytes(bytes, random);
  return bytes;
}

static const char* const kParts[] = {"great ",
                                     "film",
                                     "9,",
                                     "92,000,",
                                     "[MASK]",
                                     "\xC2\xAD",
                                     "\xE2\x80\x8B",
                                     "\xE2\x80\xAE",
                                     "\xE2\x80\xAC",
                                     "\xE2\x81\xA6",
                                     "\xE2\x81\xA9",
                                     "\b",
                                     "\n",
                                     "\xCC\x81",
                                     "\xEF\xB7\xBA",
                                     "\xEA\xB0\x80",
                                     "\xD0\xB0",
                                     "p\xD0\xB0ypal",
                                     "\xF0\x9F\x85\xBF",
                                     "\xF0\x9F\x8F\xB4",
                                     "\xF3\xA0\x81\xA7",
                                     "\xEF\xB8\x8F",
                                     "\xE1\xB4\x98",
                                     "\xCE\xA3",
                                     "\xC4\xB0",
                                     "\xD7\x90",
                                     "\xE6\x9D\xB1",
                                     "\xFF",
                                     "\xC3",
                                     "\xED\xA0\x80",
                                     "_",
                                     "-",
                                     "."};

static std::string text_of(Random& random) {
  std::string made;
  for (size_t parts = below(random, 12); parts > 0; --parts) {
    const std::string part = kParts[below(random, std::size(kParts))];
    for (size_t times = below(random, 20) ? 1 : below(random, 60); times > 0; --times) made += part;
  }
  if (below(random, 4) == 0) change_bytes(made, random);
  return made;
}

struct Counts {
  long opened = 0, refused = 0, answered = 0, asked = 0;
};

// Some texts for a model; what comes out is read to its end.
static void ask(const albert_lite_model* model, Random& random, Counts& counts) {
  const std::string first = text_of(random), second = text_of(random);
  const albert_lite_text text = {first.data(), first.size()}, pair = {second.data(), second.size()};
  const albert_lite_text choices[] = {text, pair};
  const albert_lite_input inputs[] = {{text, {nullptr, 0}, choices, 2}, {text, pair, choices, 2}};
  albert_lite_decoding decoding = albert_lite_defaults();
  decoding.top_k = static_cast<int64_t>(below(random, 4));
  decoding.aggregation = static_cast<int>(below(random, 5));
  decoding.no_answer = static_cast<int>(below(random, 3)) - 1;
  albert_lite_answers* made[5] = {};
  for (int each = 0; each < 2; ++each) albert_lite_predict(model, inputs + each, 1, &decoding, made + each);
  albert_lite_embed(model, choices, 2, 1, made + 2);
  albert_lite_fill_mask(model, text, 3, made + 3);
  albert_lite_tokenize(model, text, pair, 3 + static_cast<int64_t>(below(random, 40)), made + 4);
  for (albert_lite_answers* answers : made) {
    ++counts.asked;
    counts.answered += answers != nullptr;
    size_t bytes = 0;
    for (size_t list = 0; list < albert_lite_lists(answers); ++list)
      for (size_t place = 0; place < albert_lite_count(answers, list); ++place) {
        const albert_lite_answer answer = albert_lite_get(answers, list, place);
        for (size_t at = 0; at < answer.label.size; ++at) bytes += static_cast<unsigned char>(answer.label.data[at]);
      }
    if (bytes == SIZE_MAX) std::abort();
    albert_lite_free(answers);
  }
}

// One round: a file of the copy in `work` is changed, the model opened and asked, the file put back.
static void round(const fs::path& work, const std::map<std::string, std::string>& files, Random& random,
                  Counts& counts) {
  static const char* const kInstructions[] = {nullptr, "scalar", "portable", "avx2", "avx512"};
  auto chosen = files.begin();
  std::advance(chosen, below(random, files.size()));
  const bool json = chosen->first.find(".json") != std::string::npos;
  if (below(random, 8)) write(work / chosen->first, mutated(chosen->second, json, random));
  // A manifest refuses every other file that was changed.
  if (chosen->first != kManifest && below(random, 16)) fs::remove(work / kManifest);
  albert_lite_options options = {};
  options.instructions = kInstructions[below(random, std::size(kInstructions))];
  albert_lite_model* model = nullptr;
  const int failed = albert_lite_open(work.c_str(), &options, &model);
  if (failed == 70) std::printf("internal: %s\n", albert_lite_error());
  ++(failed ? counts.refused : counts.opened);
  if (!failed) ask(model, random, counts);
  albert_lite_close(model);
  write(work / chosen->first, chosen->second);
  write(work / kManifest, files.at(kManifest));
}

int main(int count, char** arguments) {
  if (count < 4) {
    std::fprintf(stderr, "usage: fuzz COUNT SEED FOLDER...\n");
    return 2;
  }
  const long rounds = std::atol(arguments[1]);
  Random random(std::strtoull(arguments[2], nullptr, 10));
  const fs::path work = fs::temp_directory_path() / ("albert-lite-fuzz-" + std::string(arguments[2]));
  std::vector<std::map<std::string, std::string>> folders;
  for (int at = 3; at < count; ++at) {
    folders.emplace_back();
    for (const auto& entry : fs::directory_iterator(arguments[at]))
      folders.back()[entry.path().filename()] = read(entry.path());
  }
  Counts counts;
  for (long done = 0; done < rounds; ++done) {
    const auto& files = folders[done / 100 % folders.size()];
    if (done % 100 == 0) {
      fs::remove_all(work);
      fs::create_directories(work);
      for (const auto& [name, bytes] : files) write(work / name, bytes);
    }
    round(work, files, random, counts);
    if (done % 10000 == 9999) std::printf("%ld rounds\n", done + 1), std::fflush(stdout);
  }
  fs::remove_all(work);
  std::printf("%ld rounds: %ld models opened, %ld refused; %ld of %ld questions answered\n", rounds, counts.opened,
              counts.refused, counts.answered, counts.asked);
}
