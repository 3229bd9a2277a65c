/// What basin-ntk finds, in words.
#pragma once

#include <string>

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

/// Its smallest eigenvalue beside those of others: "1.83", "at least 0.2 (in theory only)", "singular".
std::string short_text(const KernelMinimum& kernel);

/// How the eigenvalues were found: "from formed kernel (sum; W_Q), from factor A (W_O)".
std::string methods(const NtkAnalysis& found);

/// Whether gradient descent is proven to reach zero loss. sum: the kernel of all trained blocks.
std::string verdict(const Certificate& certificate, const KernelMinimum& sum);

/// The verdicts on all kernels, with reasons.
void say_kernels(Command& command, const NtkAnalysis& found);

}  // namespace basin::tools
