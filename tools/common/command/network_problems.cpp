#include "common/command/network_problems.h"

#include "basin/checkpoint/text_file.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/problem/drawn_data.h"
#include "common/command/setup.h"

namespace basin::tools {
namespace {

constexpr std::size_t kMostText = std::size_t{1} << 26U;  // bytes of a description

/// Has `take` take the array that an option names, if it does; errors are of the file.
template <class Take>
void take_given(const OptionValues& values, NetworkFiles& files, const std::string& option,
                NpyNumbers numbers, const Take& take) {
  if (!values.given(option)) return;
  const auto path = values.get<std::string>(option);
  const NpyArray& array = files.array(path, numbers);
  try {
    take(array.shape, array.values);
  } catch (const InputError& error) {
    throw InputError(path + ": " + error.what());
  }
}

}  // namespace

NetworkFiles::NetworkFiles(std::string path)
    : path_(std::move(path)), text_(text_of_file(path_, kMostText)) {}

const NpyArray& NetworkFiles::array(const std::string& path, NpyNumbers numbers) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto key = std::pair(path, numbers);
  if (const auto there = arrays_.find(key); there != arrays_.end()) return there->second;
  return arrays_.emplace(key, read_npy(path, numbers)).first->second;
}

void add_network_file_options(po::options_description& options) {
  options.add_options()                                                                              //
      ("inputs", po::value<std::string>()->value_name("FILE"), "inputs, a .npy file")                //
      ("token-types", po::value<std::string>()->value_name("FILE"), "token types (default: all 0)")  //
      ("mask", po::value<std::string>()->value_name("FILE"), "which tokens are real")                //
      ("targets", po::value<std::string>()->value_name("FILE"), "numbers or labels");
}

void add_network_problem_options(po::options_description& options) {
  options.add_options()(
      "set",
      po::value<std::vector<std::string>>()->default_value({}, "")->composing()->value_name("NAME=VALUE"),
      "a variable of the network's description, e.g. D=64; repeatable");
  add_kernel_options(options);
  add_drawn_data_options(options);
  options.add_options()("init-seed", po::value<Seed>()->value_name("S"),
                        "seed of the initial weights (default --seed)");
  add_initialisation_options(options, "gaussian");
}

std::vector<std::string> network_files(const OptionValues& values, const NetworkFiles& files) {
  std::vector<std::string> all = {files.path()};
  for (const char* option : {"inputs", "token-types", "mask", "targets"})
    if (values.given(option)) all.push_back(values.get<std::string>(option));
  return all;
}

Architecture network_of(const OptionValues& values, const NetworkFiles& files) {
  const VariableValues variables = parse_variables(values.get<std::vector<std::string>>("set"));
  try {
    return with_kernel_options(values, described_network(files.description(), variables), "");
  } catch (const InputError& error) {
    throw InputError(files.path() + ": " + error.what());
  }
}

Problem network_problem(OptionValues& values, NetworkFiles& files) {
  Problem problem;
  problem.described = DescribedNetwork{network_of(values, files), {}};
  const Architecture& net = problem.described->architecture;
  problem.tokens = net.input.tokens;
  NetworkData data(net);
  const auto numbers = [](bool whole) { return whole ? NpyNumbers::whole : NpyNumbers::floating; };
  if (values.given("inputs"))
    refuse(values, {"samples", "input-scale", "data-seed"}, "when inputs are given");
  else
    refuse(values, {"mask", "token-types"}, "without --inputs");
  if (values.given("inputs"))
    take_given(values, files, "inputs", numbers(net.vocabulary > 0),
               [&](const auto&... array) { data.take_inputs(array...); });
  else
    draw_inputs(values, data);
  take_given(values, files, "token-types", NpyNumbers::whole,
             [&](const auto&... array) { data.take_token_types(array...); });
  take_given(values, files, "mask", NpyNumbers::whole,
             [&](const auto&... array) { data.take_mask(array...); });
  if (values.given("targets")) {
    if (!values.given("inputs")) throw InputError("--targets: expected --inputs with it");
    refuse(values, {"target-init", "target-gain", "target-seed"}, "when targets are given");
    take_given(values, files, "targets", numbers(data.labels()),
               [&](const auto&... array) { data.take_targets(array...); });
  } else {
    draw_targets(data, teacher_initialisation(values));
  }
  problem.data = data.take();
  return problem;
}

void draw_network_weights(OptionValues& values, const std::string& input, DescribedNetwork& net) {
  require_memory(input + ": drawing the weights",
                 2 * 8 * static_cast<double>(parameter_count(net.architecture)));
  net.weights = draw_weights(net.architecture, student_initialisation(values));
}

Index parameter_count(const Architecture& architecture) {
  Index count = 0;
  for (const ParameterBlock& block : blocks(architecture))
    if (block.tied_to.empty()) count += block.size();
  return count;
}

VariableValues parse_variables(const std::vector<std::string>& settings) {
  VariableValues values;
  for (const std::string& setting : settings) {
    const std::size_t equals = setting.find('=');
    if (equals != std::string::npos && equals > 0 && equals + 1 < setting.size() &&
        values.emplace(setting.substr(0, equals), setting.substr(equals + 1)).second)
      continue;
    throw InputError("--set " + setting + ": expected NAME=VALUE, e.g. D=64, each variable once");
  }
  return values;
}

}  // namespace basin::tools
