/// The kernels of sets of blocks at a point, by the method of one's choice: eigenvalues and conditions
/// together (ntk/MATHEMATICS.md, "Which way").
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "basin/single_layer/kernel_minima.h"
#include "basin/single_layer/matrix_free_kernel.h"

namespace basin {

enum class NtkMethod {
  automatic,        ///< formed kernels, and what is affordable of J for what they leave open
  formed,           ///< formed kernels alone
  singular_values,  ///< all singular values of J
  matrix_free,      ///< products with the kernel of the last set; the others by their conditions
};

/// Which sets of blocks.
enum class KernelSets {
  sum,     ///< all together
  blocks,  ///< every block, and all together
  unions,  ///< every block, every set of several, and all together
};
/// The last is all of `trained`. Throws InputError for the unions of more than 12 blocks.
std::vector<std::vector<std::string>> kernel_sets(const std::vector<std::string>& trained, KernelSets which);

struct NtkAnalysisOptions {
  NtkMethod method = NtkMethod::automatic;
  double memory = std::numeric_limits<double>::infinity();  ///< bytes that J may take, if it is one's choice
  /// On J, that `automatic` spends on what formed kernels leave open: some minutes.
  double operations = 2e13;
  MatrixFreeOptions matrix_free{};
  std::size_t products_memory = std::size_t{1} << 28U;  ///< bytes kept between products of matrix_free
  /// Told what is done next, one line for people.
  std::function<void(const std::string&)> note{};
  /// Asked for a report on each piece of work, by its name, when that begins.
  std::function<Progress(const std::string& work)> progress{};
};

struct NtkAnalysis {
  std::vector<KernelAnalysis> kernels;              ///< of each set, in order
  std::vector<std::optional<NtkSpectrum>> spectra;  ///< likewise, where all eigenvalues are known
  std::optional<MatrixFreeMinimum> products;  ///< of the last set, with matrix_free, unless it is refuted
  InputRanks ranks;

  bool has_all_eigenvalues() const;
  const KernelMinimum& sum() const { return kernels.back().minimum; }
};

/// Throws as kernel_minima.
NtkAnalysis analyse_ntk(const ModelPoint<double>& point, const std::vector<std::vector<std::string>>& sets,
                        const NtkAnalysisOptions& options = {});

/// The options that such a method has for kernel_minima.
MinimaOptions minima_options(const NtkAnalysisOptions& options);

/// Bytes that the method takes at its peak, for `automatic` without J.
double analysis_bytes(const AttentionSpec& spec, Index samples, NtkMethod method,
                      const std::vector<std::vector<std::string>>& sets);

}  // namespace basin
