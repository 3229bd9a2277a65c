#include "common/command/given_weights.h"

#include <algorithm>
#include <filesystem>

#include "basin/hdf5/problem_file.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"
#include "basin/network/architecture_json.h"
#include "basin/single_layer/theory.h"
#include "common/command/checksum.h"
#include "common/command/tensors.h"
#include "common/command/words.h"

namespace basin::tools {
namespace {

/// What an option names.
struct Place {
  std::string what, where;         ///< the option, and what it is given
  std::string path, dataset, row;  ///< empty where there is none
  InputError error(const std::string& why) const {
    return InputError(what + (where.empty() ? "''" : where) + ": " + why);
  }
};

/// FILE, FILE:DATASET or FILE:DATASET:ROW, of which the first may have colons.
Place place_of(const std::string& what, const std::string& where) {
  Place place = {what, where, where, "", ""};
  if (where.empty()) throw place.error("found nothing; expected FILE, FILE:DATASET or FILE:DATASET:ROW");
  const auto exists = [](const std::string& path) {
    std::error_code error;  // of names that are too long: no such file
    return std::filesystem::exists(path, error);
  };
  for (std::size_t colon = 0; !exists(place.path);) {
    colon = where.find(':', colon + 1);
    if (colon == std::string::npos) break;
    if (!exists(where.substr(0, colon))) continue;
    place.path = where.substr(0, colon);
    place.dataset = where.substr(colon + 1);
    if (const auto second = place.dataset.find(':'); second != std::string::npos) {
      place.row = place.dataset.substr(second + 1);
      place.dataset = place.dataset.substr(0, second);
    }
    if (place.dataset.empty()) throw place.error("expected the name of a dataset after " + place.path + ":");
  }
  return place;
}

/// Where a run keeps its weights; other files have no such points.
const std::string kPointsOfRun = "/trajectory/theta";

/// A run without a dataset, or with a row alone, stands for its points.
void find_points_of_run(const hdf5::Reader& file, Place& place) {
  if (!place.dataset.empty() && !parse_index(place.dataset)) return;
  if (!file.has(kPointsOfRun) || file.has("/data")) return;
  if (!place.dataset.empty()) place.row = place.dataset;
  place.dataset = kPointsOfRun;
}

/// The network that a result is of; nothing for other files.
std::optional<Architecture> network_of_result(const hdf5::Reader& file) {
  const std::string model = "/entry/model/";
  if (file.has(model + "architecture"))
    return architecture_from_json(file.read_string(model + "architecture"));
  if (!file.has(model + "kernel") || !file.has(model + "H")) return std::nullopt;
  const auto size = [&](const char* name) { return static_cast<Index>(file.read_number(model + name)); };
  AttentionSpec spec{.tokens = size("n"),
                     .embedding = size("D"),
                     .heads = size("H"),
                     .head_dim = size("d"),
                     .outputs = size("D_out"),
                     .kernel = kernel_from_name(file.read_string(model + "kernel"))};
  if (spec.kernel == KernelKind::gaussian) spec.bandwidth = file.read_number(model + "bandwidth");
  return single_attention(spec);
}

/// The network of a problem, where it has weights of one.
Architecture network_of_problem(const Problem& problem) {
  if (problem.described) return problem.described->architecture;
  const AttentionWeights& weights = problem.network.weights.value();
  return single_attention(problem.spec(problem.network, weights.heads, weights.head_dim));
}

/// A result has weights of its own model: refuses those for other blocks, which may be as many numbers. The
/// kernels of its attention.
std::string check_model(const hdf5::Reader& file, const Setup& setup, const Place& place) {
  std::vector<ParameterBlock> theirs;
  std::string kernels;
  try {
    const auto network = network_of_result(file);
    if (!network) return "";
    theirs = blocks(*network);
    kernels = kernels_text(*network);
  } catch (const InputError& error) {
    throw place.error(std::string("/entry/model: ") + error.what());
  }
  const std::vector<ParameterBlock> ours = blocks(setup.architecture());
  for (std::size_t b = 0; b < std::max(theirs.size(), ours.size()); ++b) {
    const auto text = [b](const std::vector<ParameterBlock>& all) {
      return b < all.size() ? all[b].name + " " + shape_text(all[b].shape) : "no more blocks";
    };
    if (text(theirs) != text(ours))
      throw place.error("the weights are of another model: found " + text(theirs) + "; expected " +
                        text(ours));
  }
  return kernels;
}

}  // namespace

std::vector<Given> read_rows(const std::string& what, const std::string& where, const Setup& setup,
                             bool partial) {
  Place place = place_of(what, where);
  if (is_safetensors(place.path) && !place.dataset.empty())
    throw place.error("found '" + place.dataset + "' after " + place.path +
                      "; expected the file alone, whose tensors are the weights");
  if (is_safetensors(place.path)) return {{NamedVectors(setup).read_weights(place.path), place.where, -1}};
  const auto open = [&] {
    try {
      return hdf5::Reader(place.path);
    } catch (const InputError& error) {
      throw InputError(place.what + error.what());
    }
  };
  const hdf5::Reader file = open();
  find_points_of_run(file, place);
  if (place.dataset.empty()) {
    if (!file.has_group("/data"))
      throw place.error("found no weights; expected a problem, a checkpoint, a run, or FILE:DATASET");
    const Problem problem = hdf5::read_problem(file);
    std::optional<Vector<double>> weights;
    try {
      weights = setup.weights_of(problem);
    } catch (const InputError& error) {
      throw place.error(std::string("the weights are ") + error.what());
    }
    if (!weights) throw place.error("the file has no weights");
    return {{std::move(*weights), place.where, -1, kernels_text(network_of_problem(problem))}};
  }
  if (place.dataset[0] == '/' && file.has_group(place.dataset))
    return {{NamedVectors(setup).read_weights(file, place.dataset), place.where, -1}};
  const std::string kernels = check_model(file, setup, place);
  const hdf5::Array array = file.read_array(place.dataset);
  const Index size = setup.point.weights.size(), P = setup.parameters().theta_size();
  const Index width = array.shape.empty() ? 0 : array.shape.back();
  if (array.shape.size() > 2 || (width != size && !(partial && width == P)))
    throw place.error(
        "found shape " + hdf5::text(array.shape) + "; expected (" + std::to_string(size) +
        ") or rows of so many weights" +
        (partial && P != size ? ", or of the " + std::to_string(P) + " of the trained blocks" : ""));
  const Index rows = array.values.size() / width;
  if (rows == 0) throw place.error("found shape " + hdf5::text(array.shape) + "; expected at least one row");
  Index first = 0, last = rows;
  if (!place.row.empty()) {
    first = parse_index(place.row).value_or(-1);
    if (first < 0 || first >= rows)
      throw place.error("row " + place.row + ": expected 0 to " + std::to_string(rows - 1));
    last = first + 1;
  }
  std::vector<Given> given;
  for (Index i = first; i < last; ++i) {
    Vector<double> weights = setup.point.weights;
    if (width == size)
      weights = array.values.segment(i * width, width);
    else
      setup.parameters().insert(Vector<double>(array.values.segment(i * width, width)), weights);
    given.push_back(
        {std::move(weights), place.path + ":" + place.dataset, array.shape.size() == 2 ? i : -1, kernels});
  }
  return given;
}

std::vector<Given> read_given(const Command& command, const std::string& option, const Setup& setup,
                              bool partial) {
  std::vector<Given> all;
  if (!command.given(option)) return all;
  for (const std::string& where : command.get<std::vector<std::string>>(option))
    for (Given& g : read_rows("--" + option + " ", where, setup, partial)) {
      for (const auto& e : setup.parameters().entries())
        if (!e.trainable() && g.weights.segment(e.offset, e.block.size()) !=
                                  setup.point.weights.segment(e.offset, e.block.size()))
          throw InputError("--" + option + " " + where + (g.row < 0 ? "" : ": row " + std::to_string(g.row)) +
                           ": " + e.block.name + " is held fixed at the weights of " + setup.input +
                           ", and is another one here");
      all.push_back(std::move(g));
    }
  return all;
}

Given read_point(const std::string& what, const std::string& where, const Setup& setup) {
  return read_rows(what, where, setup, true).back();
}

void add_at_option(Command& command) {
  command.options.add_options()(
      "at", po::value<std::string>()->value_name("FILE[:DATASET[:ROW]]"),
      "the weights there instead: of a problem, of a checkpoint (.safetensors), of a "
      "run (its last point, or FILE:ROW), or a row of a dataset");
}

Setup read_setup_at(Command& command) {
  if (!command.given("at")) return read_setup(command);
  refuse(command, {"init", "gain"}, "with --at, which says the weights");
  Setup setup = read_setup(command);
  Given given = read_point("--at ", command.get<std::string>("at"), setup);
  setup.point.weights = std::move(given.weights);
  setup.theory = theory_of(setup.point);
  setup.weights_kernels = given.kernels;
  setup.weights_origin = given.source + (given.row < 0 ? "" : ", row " + std::to_string(given.row)) +
                         ", checksum " + checksum(bytes_of(setup.point.weights));
  command.resolve("init", "weights of --at");
  return setup;
}

}  // namespace basin::tools
