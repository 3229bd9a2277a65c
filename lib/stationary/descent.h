/// Descent, step by step (MATHEMATICS.md, "Descent"): methods behind one interface, and the loop that stops.
#pragma once

#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>

#include "basin/stationary/objective.h"

namespace basin {

/// What rounding does to a loss, relative to it: a sum of positive terms, added in chunks. A smaller
/// decrease cannot be seen.
inline constexpr double kLossRounding = 1e-14;

/// All that a method remembers from one step to the next, besides the point. With the point's theta it is all
/// that is needed to go on: saved and restored exactly, a run continues to the same bits.
struct DescentMemory {
  std::map<std::string, Vectors<double>> vectors;  ///< P x k each
  std::map<std::string, double> numbers;
};

/// What one step did.
struct Move {
  enum class Outcome { moved, not_finite, stalled };
  Outcome outcome = Outcome::moved;
  double step = 0;         ///< eta: the factor on the direction; trust region: its radius
  double length = 0;       ///< |theta' - theta|
  double share = 0;        ///< of |theta|; infinite where theta = 0
  bool shortened = false;  ///< a longer step was tried, and refused
  /// The largest loss after this step that theory allows; infinite where nothing is proven.
  double loss_bound = std::numeric_limits<double>::infinity();
  std::string why;  ///< one phrase, unless it moved
};

/// A method: options only. What changes from step to step is in DescentMemory, which starts empty.
class DescentMethod {
 public:
  virtual ~DescentMethod() = default;
  /// Makes one step from x, which f was asked for last, to the new x. Where it cannot (a value that is not
  /// finite, or nothing left to gain beyond rounding), x and memory stay as they are.
  virtual Move advance(Objective& f, Iterate& x, DescentMemory& memory) const = 0;
};

/// How far the move goes. For methods.
void set_length(Move& move, const Vector<double>& from, const Vector<double>& to);
/// x = the point at theta, if that is finite and elsewhere. For methods.
Move move_to(Objective& f, Iterate& x, Vector<double> theta, double step);

/// What the steps of a run were.
struct StepsTaken {
  Index shortened = 0;                          ///< so many
  double first = 0, smallest = 0, largest = 0;  ///< Move::step
  double first_share = 0, largest_share = 0;    ///< Move::share
  void add(const Move& move);
};

/// A run: where it is, after how many steps.
struct Descent {
  Iterate at;
  DescentMemory memory = {};
  Index step = 0;
  StepsTaken taken = {};
};

/// When to stop, besides when a method cannot go on.
struct Stopping {
  double gradient = 0;                                     ///< |grad f| <= this times
  double gradient_scale = 1;                               ///< the size that gradients are relative to
  double loss = -std::numeric_limits<double>::infinity();  ///< f <= this
  Index steps = 1000;                                      ///< in all
};

struct DescentStatus {
  enum class Reason { gradient, loss, steps, not_finite, stalled };
  Reason reason = Reason::steps;
  std::string text;  ///< a sentence with numbers
  double step = 0;   ///< Move::step of the last step, made or not
  bool converged() const { return reason == Reason::gradient || reason == Reason::loss; }
};

/// Called after each step.
using AfterStep = std::function<void(const Descent& run, const Move& move)>;

/// Goes on with the run until it stops. f must have been asked for run.at last.
DescentStatus descend(Objective& f, const DescentMethod& method, Descent& run, const Stopping& stopping,
                      const AfterStep& after = {});

/// A method with this share of its step; none if it chooses its steps itself.
using ShareOfStep = std::function<std::unique_ptr<const DescentMethod>(double share)>;

/// Whether a loss lies above another by more than its rounding.
bool above(double loss, double other);

/// A run and how it ended.
struct Trial {
  Descent run;
  DescentStatus status;
};

/// What to do when a step was too large: the first run from x that neither overflows nor ends above x, with a
/// quarter of the step that was tried, or natural_step if that is smaller, and quarters of it. Nothing after
/// 12 of them.
std::optional<Trial> descend_in_shorter_steps(Objective& f, const ShareOfStep& method, const Iterate& x,
                                              double tried, const Stopping& stopping);

/// The largest eigenvalue of the Hessian at the point that f was asked for last, from a Krylov space: a lower
/// bound, as a rule right to many digits. Gradient descent needs a step below 2 / that, and falls steadily
/// with 1 / that, as long as the curvature stays what it is here.
double largest_curvature(Objective& f);

/// The step that gradient descent tries at the point that f was asked for last: 1 / that; where no curvature
/// is positive, 1 / |H|, over which the gradient changes by about its own size. Nothing where H = 0.
std::optional<double> natural_step(Objective& f);

}  // namespace basin
