#include "model.h"

#include <algorithm>
#include <numeric>

#include "files.h"
#include "unicode.h"
#include "utf8.h"

namespace albert::lite {

constexpr char32_t kBlank = '_';  // the place of the choice in RACE's questions
static const char kWeights[] = "/model.safetensors", kInt8[] = "/int8.safetensors";

// --- opening -----------------------------------------------------------------------------------------------

Model::Opened Model::read_folder(const std::string& folder) {
  const std::string place = folder + "/config.json";
  if (!exists(place)) fail(Kind::kModel, place, {"a model folder with a config.json", "no such file", ""});
  const bool parts = !exists(folder + kWeights) && exists(folder + "/model.safetensors.index.json");
  if (parts || exists(folder + "/modules.json"))
    fail(Kind::kModel, folder,
         {"one model.safetensors, and no modules.json", parts ? "weights in parts" : "a model of sentence-transformers",
          "the Python package `albert` reads it"});
  const Manifest manifest(folder);
  return {read_object(place, Kind::kConfig), manifest};
}

static int64_t common_width(const Config& config) {
  return std::gcd(std::gcd(config.embedding, config.hidden),
                  std::gcd(config.intermediate, config.hidden / config.heads));
}

Precision Model::precision_of(const Options& options, const Kernels& kernels, const Manifest& manifest) {
  const std::string& wanted = options.precision;
  const bool there = exists(folder + kInt8);
  if (wanted != "auto" && wanted != "fp32" && wanted != "bf16" && wanted != "int8")
    fail(Kind::kUsage, "precision", {"auto, fp32, bf16 or int8", "\"" + shortened(wanted) + "\"", ""});
  if (wanted == "bf16" && !kernels.bfloat16)
    fail(Kind::kUsage, "precision bf16",
         {"a processor with AVX512-BF16, and instructions that use it", kernels.name, ""});
  if (wanted == "int8" && !there)
    fail(Kind::kModel, folder + ": precision int8",
         {"int8.safetensors in it", "none", "make it: albert export MODEL --to int8 --dev DEV"});
  const bool able = common_width(config) % 4 == 0;
  if (wanted == "int8" && !able) fail(Kind::kUsage, "precision int8", {"widths that are multiples of 4", "others", ""});
  const bool vouched = manifest.vouches_for(kInt8 + 1);
  if (wanted == "int8" && !vouched) damaged(folder, std::string(kInt8 + 1) + " is not in manifest.json");
  whole = wanted == "int8" || (wanted == "auto" && there && able && kernels.whole && vouched);
  return wanted != "fp32" && kernels.bfloat16 ? Precision::kBFloat16 : Precision::kFloat32;
}

Model::Model(const std::string& folder, const Options& options) : Model(folder, options, read_folder(folder)) {}

Model::Model(const std::string& folder, const Options& options, const Opened& opened)
    : tokenizer(folder, options.plain), folder(folder) {
  const std::string place = folder + "/config.json";
  config = read_config(opened.config, place);
  settings = read_settings(opened.config, config, place);
  task = task_of(config, settings, place);
  const Kernels& kernels = choose_kernels(options.instructions, common_width(config));
  const Precision precision = precision_of(options, kernels, opened.manifest);
  const Weights weights(folder + kWeights);
  std::optional<Weights> calibration;
  if (whole) calibration.emplace(folder + kInt8);
  network.emplace(config, weights, whole ? &*calibration : nullptr, kernels, precision, std::max(options.threads, 1));
  lengths = lengths_of(config, settings, task, std::min(tokenizer.most, config.positions), place);
  if (static_cast<int64_t>(tokenizer.pieces->vocabulary.pieces.size()) > config.vocabulary)
    fail(Kind::kModel, folder + "/spiece.model",
         {"at most the " + grouped(config.vocabulary) + " pieces of its config.json",
          grouped(static_cast<int64_t>(tokenizer.pieces->vocabulary.pieces.size())),
          "tokenizer and weights are of different models"});
  if (config.head == Head::kLabels && config.labels.empty())
    fail(Kind::kModel, place + ": id2label", {"labels", "", ""});
}

// --- inputs ------------------------------------------------------------------------------------------------

[[noreturn]] static void wrong_input(const char* task, const char* expected, const char* got) {
  fail(Kind::kData, task, {expected, got, ""});
}

static std::u32string question_with(const std::u32string& question, const std::u32string& choice) {
  const size_t blank = question.find(kBlank);
  if (blank != question.npos) return question.substr(0, blank) + choice + question.substr(blank + 1);
  std::u32string made = question + U" " + choice;
  const auto space = [](char32_t code) { return code == ' ' || (code >= 9 && code <= 13); };
  while (!made.empty() && space(made.back())) made.pop_back();
  while (!made.empty() && space(made.front())) made.erase(0, 1);
  return made;
}

std::vector<Encoding> Model::rows_of(const Input& input) const {
  const std::u32string* pair = input.pair ? &*input.pair : nullptr;
  std::vector<Encoding> made;
  if (task == Task::kChoice) {
    if (input.choices.size() < 2) wrong_input("multiple choice", "at least two choices", "fewer");
    for (const std::u32string& choice : input.choices) {
      const std::u32string question = question_with(input.pair.value_or(U""), choice);
      made.push_back(tokenizer.encode(input.text, &question, lengths.most));
    }
    return made;
  }
  if (task == Task::kSimilarity || task == Task::kRetrieval) {
    made.push_back(tokenizer.encode(input.text, nullptr, lengths.most));
    if (pair != nullptr) made.push_back(tokenizer.encode(*pair, nullptr, lengths.most));
    return made;
  }
  if (task == Task::kEntities && pair != nullptr) wrong_input("entities", "one text a row", "a pair of texts");
  if (task == Task::kAnswers && pair == nullptr)
    wrong_input("question answering", "a question and a context", "one text");
  if (lengths.stride >= 0) return tokenizer.windows(input.text, pair, lengths.most, lengths.stride);
  return {tokenizer.encode(input.text, pair, lengths.most)};
}

std::vector<Output> Model::outputs(const std::vector<Input>& inputs) const {
  if (task == Task::kMasks)
    fail(Kind::kModel, folder, {"a fine-tuned model", "a pre-trained one, which fills masks and gives vectors", ""});
  std::vector<Output> made;
  std::vector<Row> rows;
  for (const Input& input : inputs) {
    made.push_back({input, rows_of(input), {}});
    for (const Encoding& encoding : made.back().rows) {
      const auto& types = encoding.row.types;
      if (config.types < 2 && std::count(types.begin(), types.end(), 1) > 0)
        wrong_input("a pair of texts", "single texts, as the model has one token type", "two");
      rows.push_back(encoding.row);
    }
  }
  std::vector<Logits> logits = network->logits(rows);
  auto next = logits.begin();
  for (Output& output : made)
    for (size_t row = 0; row < output.rows.size(); ++row) output.logits.push_back(std::move(*next++));
  return made;
}

std::vector<Answer> Model::decode(const Output& output, const Decoding& decoding) const {
  if (decoding.raw && config.head != Head::kLabels)
    fail(Kind::kUsage, "raw scores",
         {"a model whose texts get labels or a number", std::string("task ") + name_of(task), ""});
  switch (config.head) {
    case Head::kLabels: return label_answers(output, config, settings, task, decoding);
    case Head::kPieces: return entity_answers(output, config, settings, decoding);
    case Head::kSpan: return span_answers(output, settings, decoding);
    case Head::kChoice: return choice_answers(output, decoding);
    default: return vector_answers(output);
  }
}

std::vector<Output> Model::vectors(const std::vector<Input>& inputs) const {
  if (config.head != Head::kVector && task != Task::kMasks)
    fail(Kind::kModel, std::string("task ") + name_of(task),
         {"a model for similarity or retrieval, or a pre-trained one", "another", ""});
  const int64_t most = task == Task::kMasks ? std::min(tokenizer.most, config.positions) : lengths.most;
  std::vector<Output> made;
  std::vector<Row> rows;
  for (const Input& input : inputs) {
    made.push_back({input, {tokenizer.encode(input.text, nullptr, most)}, {}});
    rows.push_back(made.back().rows[0].row);
  }
  std::vector<Logits> found = network->means(rows);
  for (size_t at = 0; at < made.size(); ++at) made[at].logits.push_back(std::move(found[at]));
  return made;
}

Encoding Model::encode(const std::u32string& text, const std::u32string* pair, int64_t most) const {
  if (most != 0 && (most < 3 || most > 65536)) fail(Kind::kUsage, "length", {"3 to 65,536", grouped(most), ""});
  return tokenizer.encode(text, pair, most == 0 ? lengths.most : most);
}

// --- masks -------------------------------------------------------------------------------------------------

// The form of a piece that follows a mask without a space; -1 if nothing remains.
static int32_t after_mask(const Vocabulary& vocabulary, int32_t id) {
  const std::string& piece = vocabulary.pieces[id].text;
  if (piece.compare(0, 3, kSpaceMark) != 0) return id;
  if (piece.size() == 3) return -1;
  const int32_t rest = vocabulary.id_of(piece.substr(3));
  return rest == kUnkId ? id : rest;
}

// A text with masks as the network reads it, and where they stand in the row and in the text.
struct Masked {
  Row row;
  std::vector<int64_t> places, starts;
};

static const std::u32string kMask = U"[MASK]";

static Masked masked(const std::u32string& text, const PieceEncoder& pieces) {
  Masked made{{{kClsId}, {}}, {}, {}};
  for (size_t start = 0;;) {
    const size_t end = std::min(text.find(kMask, start), text.size());
    const std::u32string part = text.substr(start, end - start);
    std::vector<int32_t> ids = pieces(part).ids;
    if (start > 0 && !ids.empty() && !is(part[0], kSpace)) ids[0] = after_mask(pieces.vocabulary, ids[0]);
    for (int32_t id : ids)
      if (id >= 0) made.row.ids.push_back(id);
    if (end == text.size()) break;
    made.places.push_back(static_cast<int64_t>(made.row.ids.size()));
    made.starts.push_back(static_cast<int64_t>(end));
    made.row.ids.push_back(kMaskId);
    start = end + kMask.size();
  }
  made.row.ids.push_back(kSepId);
  made.row.types.resize(made.row.ids.size());
  return made;
}

// The ids of the likeliest pieces. A table of words may have spare rows, which are none.
static std::vector<int32_t> likeliest(const std::vector<float>& chances, size_t known, int64_t top_k) {
  std::vector<int32_t> order(known);
  std::iota(order.begin(), order.end(), 0);
  const size_t count = top_k == 0 ? known : std::min(known, static_cast<size_t>(top_k));
  const auto better = [&](int32_t a, int32_t b) { return chances[a] != chances[b] ? chances[a] > chances[b] : a < b; };
  std::partial_sort(order.begin(), order.begin() + count, order.end(), better);
  order.resize(count);
  return order;
}

std::vector<std::vector<Answer>> Model::fill_mask(const std::u32string& text, int64_t top_k) const {
  if (task != Task::kMasks)
    fail(Kind::kModel, std::string("task ") + name_of(task), {"a pre-trained model", "another", ""});
  const Masked found = masked(text, *tokenizer.pieces);
  const int64_t most = std::min(tokenizer.most, config.positions), size = static_cast<int64_t>(found.row.ids.size());
  if (found.places.empty()) fail(Kind::kData, "a text", {"a [MASK] to fill", "none", ""});
  if (size > most)
    fail(Kind::kData, "a text of " + grouped(size) + " pieces", {"at most " + grouped(most), "", "shorten it"});
  const Logits logits = network->masked(found.row, found.places);
  std::vector<std::vector<Answer>> made;
  for (size_t mask = 0; mask < found.places.size(); ++mask) {
    const std::vector<float> chances = softmax(logits.values.data() + mask * logits.columns, logits.columns);
    made.emplace_back();
    for (int32_t id : likeliest(chances, tokenizer.pieces->vocabulary.pieces.size(), top_k)) {
      Answer answer{tokenizer.pieces->decode({id}), "", chances[id]};
      answer.index = id;
      answer.start = found.starts[mask], answer.end = found.starts[mask] + static_cast<int64_t>(kMask.size());
      made.back().push_back(std::move(answer));
    }
  }
  return made;
}

// --- what it is --------------------------------------------------------------------------------------------

static std::string quoted(const std::string& text) {
  std::string made = "\"";
  for (char byte : text) {
    if (byte == '"' || byte == '\\') made += '\\';
    if (static_cast<unsigned char>(byte) < 0x20) {
      static const char kDigits[] = "0123456789abcdef";
      made += std::string("\\u00") + kDigits[byte >> 4] + kDigits[byte & 15];
    } else {
      made += byte;
    }
  }
  return made + "\"";
}

static std::string listed(const std::vector<std::string>& texts) {
  std::string made = "[";
  for (size_t at = 0; at < texts.size(); ++at) made += (at ? ", " : "") + quoted(texts[at]);
  return made + "]";
}

std::string Model::about() const {
  const std::string products = network->precision == Precision::kBFloat16 ? "bf16" : "fp32";
  return "{\"task\": " + quoted(name_of(task)) + ", \"labels\": " + listed(config.labels) +
         ", \"precision\": " + quoted(whole ? "int8" : products) +
         ", \"instructions\": " + quoted(network->kernels.name) +
         ", \"hidden_size\": " + std::to_string(config.hidden) + ", \"max_length\": " + std::to_string(lengths.most) +
         ", \"stride\": " + (lengths.stride < 0 ? "null" : std::to_string(lengths.stride)) +
         ", \"hardening\": " + (tokenizer.pieces->hardening.on ? "true" : "false") +
         ", \"text\": " + quoted(settings.text) + ", \"text_pair\": " + quoted(settings.text_pair) +
         ", \"choices\": " + listed(settings.choices) + "}";
}

}  // namespace albert::lite
