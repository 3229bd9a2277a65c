/// What would make the ball certificate pass: other targets, or other sizes of the weights.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "basin/single_layer/certificate_input.h"

namespace basin {

struct SuggestionOptions {
  double largest_gain = 64;  ///< gains from 1 / this to this are tried
  MinimaOptions minima{};    ///< for the kernel at a gain
  /// Told before a gain is tried, one line for people.
  std::function<void(const std::string&)> status{};
};

struct Suggestions {
  /// The factors on the targets with which it passes, from `low` to `high`.
  std::optional<Scalings> targets;
  /// By block, whether it is trained or not: a factor on its weights with which it passes, by itself (see
  /// passing_gain: nothing where none of those that are tried does).
  struct Gain {
    std::string block;
    std::optional<double> gain;
  };
  std::vector<Gain> gains;
};

/// sum, input, certificate: of the trained blocks at the point. Throws as certificate_at, and InputError
/// unless largest_gain >= 1.
Suggestions suggest(const ModelPoint<double>& point, const KernelMinimum& sum, const CertificateInput& input,
                    const Certificate& certificate, const SuggestionOptions& options = {});

}  // namespace basin
