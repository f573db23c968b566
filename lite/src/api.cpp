// The border to C: no exception passes it.
#include <cstring>
#include <exception>
#include <memory>
#include <new>

#include "albert_lite.h"
#include "model.h"
#include "utf8.h"

using namespace albert::lite;

struct albert_lite_model {
  Model model;
  std::string about;
};

struct albert_lite_answers {
  std::vector<std::vector<Answer>> lists;
  std::vector<std::vector<Logits>> logits;
  size_t cut = 0;
};

namespace {

constexpr size_t kMostBytes = size_t{1} << 26;  // of a text

// In a function: Clang 14 leaves out all that follows the use of a global one in WebAssembly.
std::string& last_error() {
  thread_local std::string text;
  return text;
}

template <class Work>
int tried(const Work& work) {
  try {
    work();
    return 0;
  } catch (const Error& error) {
    last_error() = error.text;
    return static_cast<int>(error.kind);
  } catch (const std::bad_alloc&) {
    last_error() = "error[out-of-memory] not enough memory";
    return static_cast<int>(Kind::kMemory);
  } catch (const std::exception& error) {
    last_error() = std::string("error[internal] ") + error.what();
  } catch (...) {
    last_error() = "error[internal] the network was not run";
  }
  return static_cast<int>(Kind::kInternal);
}

void require_given(const void* pointer, const char* what) {
  if (pointer == nullptr) fail(Kind::kUsage, what, {"a pointer", "NULL", ""});
}

std::u32string decoded(albert_lite_text text, const char* what) {
  if (text.size > 0) require_given(text.data, what);
  if (text.size > kMostBytes)
    fail(Kind::kUsage, what,
         {"at most " + grouped(kMostBytes) + " bytes", grouped(static_cast<int64_t>(text.size)), ""});
  return from_utf8(std::string_view(text.size > 0 ? text.data : "", text.size));
}

Input input_of(const albert_lite_input& from) {
  Input made{decoded(from.text, "text"), {}, {}};
  if (from.pair.data != nullptr) made.pair = decoded(from.pair, "pair");
  for (size_t at = 0; at < from.choice_count; ++at) made.choices.push_back(decoded(from.choices[at], "choice"));
  return made;
}

Decoding decoding_of(const albert_lite_decoding* from) {
  Decoding made;
  if (from == nullptr) return made;
  if (from->top_k < 0 || from->max_answer < 1 || from->aggregation < 0 || from->aggregation > ALBERT_LITE_NONE)
    fail(Kind::kUsage, "decoding", {"top_k from 0, max_answer from 1, an aggregation that is known", "others", ""});
  made.top_k = from->top_k, made.max_answer = from->max_answer;
  made.aggregation = static_cast<Aggregation>(from->aggregation);
  made.no_answer = from->no_answer, made.raw = from->raw_scores != 0;
  return made;
}

albert_lite_text text_of(const std::string& text) { return {text.c_str(), text.size()}; }

// Fills answers with work on a model.
template <class Work>
int answered(const albert_lite_model* model, albert_lite_answers** answers, const Work& work) {
  return tried([&] {
    require_given(model, "model");
    require_given(answers, "answers");
    *answers = nullptr;
    auto made = std::make_unique<albert_lite_answers>();
    work(model->model, *made);
    *answers = made.release();
  });
}

void count_cut(albert_lite_answers& made, const Output& output) {
  bool cut = false;
  for (const Encoding& row : output.rows) cut = cut || row.cut > 0;
  made.cut += cut;
}

}  // namespace

const char* albert_lite_version(void) { return ALBERT_LITE_VERSION; }
const char* albert_lite_error(void) { return last_error().c_str(); }
albert_lite_text albert_lite_of(const char* text) { return {text, text == nullptr ? 0 : std::strlen(text)}; }
albert_lite_decoding albert_lite_defaults(void) { return {1, 30, ALBERT_LITE_FIRST, -1, 0}; }

int albert_lite_open(const char* folder, const albert_lite_options* options, albert_lite_model** model) {
  return tried([&] {
    require_given(folder, "folder");
    require_given(model, "model");
    *model = nullptr;
    Options chosen;
    if (options != nullptr) {
      if (options->precision != nullptr) chosen.precision = options->precision;
      if (options->instructions != nullptr) chosen.instructions = options->instructions;
      chosen.threads = options->threads, chosen.plain = options->plain != 0;
    }
    auto made = std::unique_ptr<albert_lite_model>(new albert_lite_model{Model(folder, chosen), ""});
    made->about = made->model.about();
    *model = made.release();
  });
}

void albert_lite_close(albert_lite_model* model) { delete model; }
const char* albert_lite_about(const albert_lite_model* model) { return model == nullptr ? "{}" : model->about.c_str(); }

int albert_lite_predict(const albert_lite_model* model, const albert_lite_input* inputs, size_t count,
                        const albert_lite_decoding* decoding, albert_lite_answers** answers) {
  return answered(model, answers, [&](const Model& opened, albert_lite_answers& made) {
    if (count > 0) require_given(inputs, "inputs");
    const Decoding chosen = decoding_of(decoding);
    std::vector<Input> read;
    for (size_t at = 0; at < count; ++at) read.push_back(input_of(inputs[at]));
    for (Output& output : opened.outputs(read)) {
      made.lists.push_back(opened.decode(output, chosen));
      count_cut(made, output);
      made.logits.push_back(std::move(output.logits));
    }
  });
}

int albert_lite_embed(const albert_lite_model* model, const albert_lite_text* texts, size_t count, int normalize,
                      albert_lite_answers** answers) {
  return answered(model, answers, [&](const Model& opened, albert_lite_answers& made) {
    if (count > 0) require_given(texts, "texts");
    std::vector<Input> read;
    for (size_t at = 0; at < count; ++at) read.push_back({decoded(texts[at], "text"), {}, {}});
    for (Output& output : opened.vectors(read)) {
      Answer answer{"embedding", "", 1.0};
      answer.vector = normalize != 0 ? unit(output.logits[0].values) : output.logits[0].values;
      made.lists.push_back({std::move(answer)});
      count_cut(made, output);
    }
  });
}

int albert_lite_fill_mask(const albert_lite_model* model, albert_lite_text text, int64_t top_k,
                          albert_lite_answers** answers) {
  return answered(model, answers, [&](const Model& opened, albert_lite_answers& made) {
    if (top_k < 0) fail(Kind::kUsage, "top_k", {"0 or more", grouped(top_k), ""});
    made.lists = opened.fill_mask(decoded(text, "text"), top_k);
  });
}

int albert_lite_tokenize(const albert_lite_model* model, albert_lite_text text, albert_lite_text pair, int64_t most,
                         albert_lite_answers** answers) {
  return answered(model, answers, [&](const Model& opened, albert_lite_answers& made) {
    const std::u32string second = decoded(pair, "pair");
    const Encoding found = opened.encode(decoded(text, "text"), pair.data == nullptr ? nullptr : &second, most);
    made.lists.emplace_back();
    for (size_t at = 0; at < found.row.ids.size(); ++at) {
      Answer piece{opened.tokenizer.pieces->vocabulary.pieces[found.row.ids[at]].text, "", 0};
      piece.index = found.row.ids[at];
      if (found.texts[at] >= 0) piece.start = found.starts[at], piece.end = found.ends[at];
      made.lists[0].push_back(std::move(piece));
    }
    made.cut = found.cut > 0;
  });
}

size_t albert_lite_lists(const albert_lite_answers* answers) { return answers == nullptr ? 0 : answers->lists.size(); }

size_t albert_lite_count(const albert_lite_answers* answers, size_t list) {
  return list < albert_lite_lists(answers) ? answers->lists[list].size() : 0;
}

albert_lite_answer albert_lite_get(const albert_lite_answers* answers, size_t list, size_t place) {
  if (place >= albert_lite_count(answers, list)) return {{"", 0}, {"", 0}, 0, -1, -1, -1, nullptr, 0};
  const Answer& found = answers->lists[list][place];
  return {text_of(found.label),
          text_of(found.part),
          found.score,
          found.start,
          found.end,
          found.index,
          found.vector.empty() ? nullptr : found.vector.data(),
          found.vector.size()};
}

const float* albert_lite_logits(const albert_lite_answers* answers, size_t list, size_t window, int64_t* rows,
                                int64_t* columns) {
  if (answers == nullptr || list >= answers->logits.size() || window >= answers->logits[list].size()) return nullptr;
  const Logits& found = answers->logits[list][window];
  if (rows != nullptr) *rows = found.rows;
  if (columns != nullptr) *columns = found.columns;
  return found.values.data();
}

size_t albert_lite_cut(const albert_lite_answers* answers) { return answers == nullptr ? 0 : answers->cut; }
void albert_lite_free(albert_lite_answers* answers) { delete answers; }
