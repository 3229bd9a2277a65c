#include "common/problem/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <set>

#include "basin/checkpoint/families.h"
#include "basin/checkpoint/text_file.h"
#include "basin/hdf5/problem_file.h"
#include "basin/linalg/memory.h"
#include "basin/linalg/words.h"
#include "basin/model/linearization.h"
#include "common/command/given_weights.h"
#include "common/command/run.h"
#include "common/command/setup.h"
#include "common/command/tensors.h"
#include "common/command/words.h"
#include "common/problem/expected_loss.h"
#include "common/problem/files.h"

namespace basin::tools {
namespace {

const Introduction kCheckpoint = {
    "basin-problem checkpoint",
    "a problem from a trained Transformer, exactly, or why it cannot be one",
    "PATH -o PROBLEM.h5 --inputs X.npy --targets Y.npy [options]",
    R"(PATH is a .safetensors file, the .safetensors.index.json of shards, or a folder with either and config.json, which says
what the model is: torch_transformer_encoder (nn.TransformerEncoder, nn.TransformerEncoderLayer), nanogpt, gpt2, bert, vit,
timm, skyformer, llama, mistral, qwen2, gpt_neox. What each of them is given as, and what to write for one's own module
(--map): lib/checkpoint/FAMILIES.md. Weights of F64, F32, F16 and BF16 are taken to the last bit, buffers that are no
parameters are listed, and anything else that is in the file but not in the model, or the other way round, is refused.
Inputs are token ids (N, tokens), numbers (N, tokens, width) or images (N, channels, height, width); targets labels (N) or
(N, tokens), negative where a row counts for nothing, or numbers of the shape of the outputs. Targets of language
models are shifted already: the target at t is the token at t + 1.
)",
    R"(  basin-problem checkpoint model/ -o problem.h5 --inputs ids.npy --targets labels.npy --expect-loss 1.2345
  basin-problem checkpoint mine.safetensors --map mine.json -o problem.h5 --inputs X.npy --targets Y.npy
)",
    "options-file"};

/// What the options give of the data, before anything is known of the network.
struct GivenData {
  std::optional<NpyArray> inputs, targets;
  DataFacts facts;
};

GivenData given_data(const Command& command) {
  GivenData data;
  data.facts.masked = command.given("mask");
  if (command.given("inputs")) {
    const auto path = command.get<std::string>("inputs");
    data.inputs = read_npy(path, NpyNumbers::whole);
    const std::vector<Index>& shape = data.inputs->shape;
    if (shape.size() < 2 || shape.size() > 4 || shape[1] < 1)
      throw InputError(path + ": found shape " + shape_text(shape) +
                       "; expected token ids (N, tokens), numbers (N, tokens, width) or images (N, channels, "
                       "height, width)");
    if (shape.size() < 4) data.facts.tokens = shape[1];
  }
  if (command.given("targets"))
    data.targets = read_npy(command.get<std::string>("targets"), NpyNumbers::whole);
  return data;
}

/// "cross-entropy", "squared:elements", "mse", "mse:sum".
LossDescription loss_named(const std::string& text) {
  const std::vector<std::string> words = split(text, ':');
  LossDescription loss;
  loss.type = words.front();
  if (loss.type == "mse") loss = {"squared", {{"average", std::string("elements")}, {"half", false}}};
  if (words.size() > 2)
    throw InputError("--loss " + text + ": expected NAME or NAME:AVERAGE, e.g. cross-entropy:sum");
  if (words.size() == 2) loss.options["average"] = words[1];
  try {
    loss = with_defaults(loss);
    static_cast<void>(make_loss<double>(loss));
  } catch (const InputError& error) {
    throw InputError("--loss " + text + ": " + error.what());
  }
  return loss;
}

/// The network and its blocks' places, of a map or of a family; what says so.
struct Source {
  CheckpointMap map;
  std::string family, why;
  std::vector<std::string> unread;
  Index padding = -1;
};

Source source_of(const Command& command, const Checkpoint& checkpoint, const DataFacts& facts,
                 std::vector<std::string>& read) {
  if (command.given("map")) {
    refuse(command, {"config"}, "with --map, which says all of the network");
    const auto path = command.get<std::string>("map");
    read.push_back(path);
    try {
      CheckpointMap map = checkpoint_map_from_json(text_of_file(path, kMostDescription));
      static_cast<void>(blocks(map.architecture));
      for (const auto& [copy, original] : map.copies)
        for (const std::string& name : {copy, original})
          if (checkpoint.find(name) == nullptr)
            throw InputError("copies: " + checkpoint.path() + " has no tensor " + shown(name));
      return {std::move(map), "a network of one's own", path, {}};
    } catch (const InputError& error) {
      const std::string what = error.what();
      throw InputError(what.starts_with(path) ? what : path + ": " + what);
    }
  }
  std::string path = checkpoint.folder() + "config.json";
  if (command.given("config")) path = command.get<std::string>("config");
  if (std::error_code error; !std::filesystem::exists(path, error))
    throw InputError(path +
                     ": there is no such file; expected the configuration of the model, with a "
                     "'model_type' (heads, activation and order of the norms are in no checkpoint): "
                     "--config FILE, or --map FILE for a network of one's own");
  read.push_back(path);
  const std::string name = std::filesystem::path(path).filename().string();
  FamilyMap family = family_map(Configuration(path, text_of_file(path, kMostDescription)), checkpoint, facts);
  try {
    static_cast<void>(blocks(family.map.architecture));
  } catch (const InputError& error) {
    throw InputError(path + ": " + error.what());
  }
  return {std::move(family.map), family.family, name, std::move(family.unread), family.padding};
}

/// Of negative labels PyTorch knows two, its own and nanoGPT's; others are mistakes there.
void check_ignored(const std::string& path, const NpyArray& targets) {
  for (Index k = 0; k < targets.values.size(); ++k)
    if (const double label = targets.values[k]; label < 0 && label != -1 && label != -100)
      throw InputError(path + ": found " + number(label) + " at entry " + std::to_string(k) +
                       " (C order); expected classes from 0, and -100 or -1 where a row counts for nothing");
}

/// Takes the data that the options give.
Data<double> data_of(const Command& command, const Architecture& architecture, const GivenData& given,
                     std::vector<std::string>& read) {
  NetworkData data(architecture);
  const auto take_option = [&](const char* option, const auto& take) {
    if (command.given(option)) take_file(command.get<std::string>(option), NpyNumbers::whole, read, take);
  };
  take_array(command.get<std::string>("inputs"), *given.inputs, read,
             [&](const auto&... array) { data.take_inputs(array...); });
  take_option("token-types", [&](const auto&... array) { data.take_token_types(array...); });
  take_option("mask", [&](const auto&... array) { data.take_mask(array...); });
  if (data.labels()) check_ignored(command.get<std::string>("targets"), *given.targets);
  take_array(command.get<std::string>("targets"), *given.targets, read,
             [&](const auto&... array) { data.take_targets(array...); });
  return data.take();
}

/// "F32", or all types that weights are stored in.
std::string types_of(const CheckpointLayout& layout) {
  std::set<std::string> types;
  for (const StoredTensor& tensor : layout.tensors)
    if (!layout.kept.contains(tensor.name)) types.insert(tensor.type);
  std::string list;
  for (const std::string& type : types) list += (list.empty() ? "" : ", ") + type;
  return list;
}

std::string listed(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list;
}

ImportedCheckpoint import_with_options(const Command& command, const Checkpoint& checkpoint,
                                       const Source& source) {
  std::vector<std::string> unused;
  if (command.given("unused")) unused = command.texts("unused");
  for (const std::string& pattern : unused)
    if (std::none_of(checkpoint.tensors().begin(), checkpoint.tensors().end(),
                     [&](const StoredTensor& t) { return fits_pattern(pattern, t.name); }))
      throw InputError("--unused " + pattern + ": " + checkpoint.path() + " has no such tensor");
  try {
    return import_checkpoint(checkpoint, source.map, unused, source.why);
  } catch (const InputError& error) {
    const std::string what = error.what();
    throw InputError(what + (what.find(" is not used by the model") == std::string::npos
                                 ? ""
                                 : "; --unused NAME leaves a tensor out"));
  }
}

/// What was not taken as a parameter: nothing is left out in silence.
void say_left_out(Command& command, const CheckpointLayout& layout, const Source& source) {
  std::vector<std::string> kept, copies;
  for (const auto& [name, bytes] : layout.kept) kept.push_back(name);
  for (const auto& [copy, original] : layout.copies) copies.push_back(copy + " = " + original);
  if (!kept.empty())
    command.say("skipped, as no parameters (" + std::to_string(kept.size()) + "): " + listed(kept));
  if (!copies.empty()) command.say("stored twice, equal bit for bit: " + listed(copies));
  if (!source.unread.empty())
    command.say("keys of the configuration that say nothing of the network here: " + listed(source.unread));
}

/// Token ids that mean no token are taken for tokens where no mask says otherwise: hardly ever what is meant.
void say_padding(Command& command, const Source& source, const Data<double>& data) {
  if (source.padding < 0 || command.given("mask") || data.ids.empty()) return;
  const Index tokens = static_cast<Index>(data.ids.size()) / data.samples;
  Index padded = 0;
  for (Index i = 1; i <= data.samples; ++i)
    padded += data.ids[static_cast<std::size_t>(i * tokens - 1)] == source.padding;
  if (padded > 0)
    command.say(std::to_string(padded) + " of " + std::to_string(data.samples) + " samples end in token " +
                std::to_string(source.padding) + ", which is padding in " + source.why +
                " (pad_token_id), and are read as they stand: --mask FILE says which tokens are real");
}

void refuse_input_as_output(const Command& command, const std::vector<std::string>& read) {
  std::error_code error;
  for (const std::string& file : read)
    if (std::filesystem::equivalent(file, command.output(), error))
      throw InputError(command.output() + ": is read as " + file + "; give another name with --output");
}

}  // namespace

void checkpoint_problem(int argc, const char* const* argv) {
  Command command(kCheckpoint, argc, argv, 2);
  command.options.add_options()  //
      ("path", po::value<std::string>()->required()->value_name("PATH"),
       "the checkpoint (first argument)")  //
      ("config", po::value<std::string>()->value_name("FILE"),
       "the configuration of the model (default: config.json beside it)")  //
      ("map", po::value<std::string>()->value_name("FILE"),
       "the network, and a table from its blocks to tensors, for modules of one's own")               //
      ("inputs", po::value<std::string>()->value_name("FILE"), "inputs, a .npy file")                 //
      ("targets", po::value<std::string>()->value_name("FILE"), "labels or numbers")                  //
      ("mask", po::value<std::string>()->value_name("FILE"), "which tokens are real (default: all)")  //
      ("token-types", po::value<std::string>()->value_name("FILE"), "token types (default: all 0)")   //
      ("loss", po::value<std::string>()->value_name("NAME[:AVERAGE]"),
       "cross-entropy (default of labels), squared (1/2 the sum; default of numbers), mse (PyTorch's "
       "MSELoss), "
       "with :sum, :rows, :samples or :elements for what it is averaged over")  //
      ("unused", po::value<std::vector<std::string>>()->composing()->value_name("TENSOR"),
       "leave tensors out of the model, by name or pattern: they go back unchanged; repeatable")  //
      ("expect-loss", po::value<std::string>()->value_name("VALUE"),
       "fail unless the loss is this, to the digits given, and say what usually differs");
  command.add_printing_option("show-map",
                              "print the network and the table of its tensors, as --map takes it");
  command.positional.add("path", 1);
  if (!command.parse()) return;

  const Checkpoint checkpoint(command.get<std::string>("path"));
  std::vector<std::string> read = checkpoint.files();
  GivenData given = given_data(command);
  Source source = source_of(command, checkpoint, given.facts, read);
  Architecture& architecture = source.map.architecture;
  if (command.given("loss"))
    architecture.loss = loss_named(command.get<std::string>("loss"));
  else if (!source.map.says_loss)
    architecture.loss = with_defaults(
        LossDescription{given.targets && given.targets->floating ? "squared" : "cross-entropy"});
  if (command.get<bool>("show-map")) {
    std::cout << to_json(source.map);
    return;
  }
  for (const char* option : {"inputs", "targets"})
    if (!command.given(option))
      throw InputError("--" + std::string(option) + ": missing; expected a .npy file");

  ImportedCheckpoint imported = import_with_options(command, checkpoint, source);
  ModelPoint<double> point;
  const std::vector<ParameterBlock> all = blocks(architecture);
  point.model = build<double>(architecture, matching_blocks({"*"}, all));
  point.weights = imported.weights;
  auto data = std::make_shared<Data<double>>(data_of(command, architecture, given, read));
  given = {};
  point.data = data;
  refuse_input_as_output(command, read);
  const std::string sha256 = hdf5::sha256_of_files("", read);
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  const double loss = point.linearize({.keep = false}).loss();
  std::string agreement;
  if (command.given("expect-loss"))
    agreement = ", as expected" + expected_loss(command.get<std::string>("expect-loss"), point, loss);

  command.say(command.output() + ": " + source.family + ", " + std::to_string(point.weights.size()) +
              " parameters (" + types_of(imported.layout) + ", exactly); loss f = " + number(loss, 10) +
              agreement);
  command.say(data_text(architecture, data->samples) + "; f = " + point.model->loss().facts().formula);
  say_left_out(command, imported.layout, source);
  say_padding(command, source, *data);
  Problem problem;
  problem.tokens = architecture.input.tokens;
  problem.data = *data;
  problem.described = {architecture, std::move(imported.weights),
                       std::make_shared<CheckpointLayout>(std::move(imported.layout))};
  hdf5::write_problem(file, problem);
  hdf5::write_provenance(file, "/provenance", command.provenance(lines(read), sha256));
  file.commit();
}

void export_checkpoint(int argc, const char* const* argv) {
  Command command(
      {"basin-problem export",
       "weights of a problem, or a vector over them, as the checkpoint they came from",
       "PROBLEM.h5 -o FILE.safetensors [--vector RESULT.h5:/PATH]",
       R"(Names, shapes, order and types are those of the checkpoint that basin-problem checkpoint read, whatever became of the
weights since; tensors that are no parameters are as they were. With --vector, what is written is a gradient, an
eigenvector or a direction, with 0 where blocks are not trained (--train).
)",
       R"(  basin-problem export end.h5 -o end.safetensors
  basin-problem export problem.h5 -o top.safetensors --vector hessian.h5:/entry/largest/eigenvectors:1
)"},
      argc, argv, 2);
  add_model_options(command);
  add_at_option(command);
  command.options.add_options()  //
      ("vector", po::value<std::string>()->value_name("FILE:/PATH[:ROW]"),
       "a dataset of P numbers, a row of a matrix, or a group of arrays by name")  //
      ("type", po::value<std::string>()->value_name("TYPE"),
       "F64, F32, F16 or BF16 for all tensors of a vector (default: as they are stored)");
  if (!command.parse()) return;
  if (!command.output().ends_with(".safetensors"))
    throw InputError("--output " + command.output() + ": expected a name that ends in .safetensors");
  const std::string type = command.given("type") ? command.get<std::string>("type") : "";
  const std::set<std::string> types = {"", "F64", "F32", "F16", "BF16"};
  if (!types.contains(type)) throw InputError("--type " + type + ": expected F64, F32, F16 or BF16");
  const Setup setup = read_setup_at(command);
  const bool overwrite = command.get<bool>("overwrite");
  if (!command.given("vector")) {
    refuse(command, {"type", "train"},
           "without --vector: weights go back in the types they came in, all of them");
    command.say(write_weights_at(command.output(), overwrite, setup, setup.point.weights));
    return;
  }
  const auto place = command.get<std::string>("vector");
  const std::size_t colon = place.find(":/");
  if (colon == std::string::npos || colon == 0)
    throw InputError("--vector " + place + ": expected FILE:/PATH or FILE:/PATH:ROW");
  const Vector<double> vector = vector_from(setup, place.substr(0, colon), place.substr(colon + 1), true);
  command.say(write_vector_at(command.output(), overwrite, setup, vector, type));
}

}  // namespace basin::tools
