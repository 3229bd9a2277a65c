/// From options to the problems of basin-problem architecture: any network, on given or random data.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "basin/problem/npy.h"
#include "common/command/problems.h"

namespace basin::tools {

/// The files of such a problem, each read once, when it is first asked for, by whatever thread.
class NetworkFiles {
 public:
  /// path: the description of the network.
  explicit NetworkFiles(std::string path);

  const std::string& path() const { return path_; }
  const std::string& description() const { return text_; }
  /// Throws InputError as read_npy.
  const NpyArray& array(const std::string& path, NpyNumbers numbers);

 private:
  std::string path_, text_;
  std::mutex mutex_;
  std::map<std::pair<std::string, NpyNumbers>, NpyArray> arrays_;
};

/// --inputs, --token-types, --mask and --targets.
void add_network_file_options(po::options_description& options);
/// --set, --kernel and --bandwidth of the network; drawn data and teacher; initial weights.
void add_network_problem_options(po::options_description& options);

/// The files that the options name, the network's first.
std::vector<std::string> network_files(const OptionValues& values, const NetworkFiles& files);

/// The network, its variables with the values of --set, its attention with --kernel and --bandwidth. Throws
/// InputError.
Architecture network_of(const OptionValues& values, const NetworkFiles& files);
/// The network and its data: those of files, the rest drawn. No weights. Resolves the seeds. Throws
/// InputError for what cannot be, WorkError where a teacher's outputs are not finite.
Problem network_problem(OptionValues& values, NetworkFiles& files);
/// Draws the weights.
void draw_network_weights(OptionValues& values, const std::string& input, DescribedNetwork& net);

/// Parameters of a network, those that are tied once.
Index parameter_count(const Architecture& architecture);

/// Reads "D=64" and the like, values of --set. Throws InputError.
VariableValues parse_variables(const std::vector<std::string>& settings);

}  // namespace basin::tools
