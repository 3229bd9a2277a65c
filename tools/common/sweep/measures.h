/// What a sweep measures of every draw (--measure), by the names that files have.
#pragma once

#include <string>
#include <vector>

#include "common/command/journal.h"
#include "common/sweep/cell.h"
#include "common/sweep/source.h"

namespace basin::tools {

/// How sure a quantity is, for files: "bounded: ...". Empty for a name that says it by itself.
std::string certainty(const std::string& quantity);

/// Adds --measure and the options of measures.
void add_measure_options(Command& command, const std::string& kind);

/// What is measured, as the options say.
class Measures {
 public:
  /// Throws InputError for unknown measures, and options that are out of range or without effect.
  Measures(const Command& command, const std::string& kind);

  /// All that makes the measures what they are, by name; nothing for the default of a single layer's kinds.
  Specification specification() const;

  /// Looks at the first problem of a cell: bytes that its draws take at the peak. What networks are there
  /// decides on the quantities. Throws InputError for what cannot be measured of it.
  double prepare(const OptionValues& values, const DrawnProblem& draw);

  /// Of every draw, in order, all NaN.
  std::vector<Quantity> quantities() const { return quantities_of(centred_, uncentred_); }
  /// No sweep with these options has more.
  std::size_t most_quantities() const { return quantities_of(true, true).size(); }

  /// Measures a draw. memory: bytes beyond those of prepare, for what is kept between products. Throws
  /// WorkError when a number is not finite.
  std::vector<Quantity> measure(OptionValues values, const DrawnProblem& draw, double memory) const;

 private:
  std::vector<Quantity> quantities_of(bool centred, bool uncentred) const;
  std::vector<std::string> kernel_names() const;
  /// Refuses what no descent can be made of.
  void check_descent(OptionValues values, const DrawnProblem& draw);
  bool generic() const { return (kernels_ && !single_layer_) || hessian_ || negative_ || training_; }

  bool single_layer_;  ///< of a kind whose problems are: kernels come from the layer's factors
  bool kernels_ = false, hessian_ = false, negative_ = false, training_ = false;
  LayerMeasures layer_;
  std::string names_, sets_;  ///< --measure, --kernels
  Index dense_limit_ = 0;
  Specification descent_;
  bool descent_checked_ = false;
  bool centred_ = false, uncentred_ = false;  ///< losses of the networks seen so far
};

}  // namespace basin::tools
