/// What basin-ntk finds, in words.
#pragma once

#include <string>
#include <vector>

#include "basin/single_layer/certificate.h"
#include "basin/single_layer/kernel_analysis.h"
#include "common/command/command.h"

namespace basin::tools {

/// "1.83e-1086", also where the number underflows; never above it.
std::string text_below(const Below& bound, int digits);

/// Which condition decides, in words; empty when none does.
std::string reason(const KernelAnalysis& kernel);

/// "positive definite: lambda_min = 1.83 +- 2e-07, ...": what a kernel is, and what is known of it.
std::string verdict(const KernelMinimum& kernel);

/// How the eigenvalues were found: "from formed kernel (sum; W_Q), from factor A (W_O)".
std::string methods(const NtkAnalysis& found);

/// Whether gradient descent is proven to reach zero loss. sum: the kernel of all trained blocks.
std::string verdict(const Certificate& certificate, const KernelMinimum& sum);

/// "NTK of the trained blocks" (`of`) "is positive definite: ...", `on` which outputs, why, and the same of
/// the single kernels. The last is that of all; of many some are said. reasons: of each, else where its
/// verdict leaves open why it is singular.
void say_kernels(Command& command, const std::vector<KernelAnalysis>& kernels, const std::string& of,
                 const std::string& on, bool reasons);

/// Kernel by kernel beside those of another kernel of attention.
void say_comparison(Command& command, const std::vector<KernelAnalysis>& here,
                    const std::vector<KernelAnalysis>& there, const std::string& ours,
                    const std::string& theirs);

}  // namespace basin::tools
