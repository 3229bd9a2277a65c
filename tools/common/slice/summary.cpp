#include "common/slice/summary.h"

#include <algorithm>
#include <cmath>

#include "basin/single_layer/kernel_minima.h"
#include "common/command/command.h"

namespace basin::tools {
namespace {

constexpr double kConstant = 1e-12;  // relative: differences that rounding explains

std::string ntk_on(const SliceResult& result) {
  return (result.ntk_rows().empty() ? "" : " on ") + result.ntk_rows();
}

/// A quantity in words, with what its numbers are worth.
std::string quantity_text(const SliceResult& result, const std::string& quantity) {
  if (quantity == "gradient_norm") return "norm of the gradient";
  if (quantity == "min_eig") return "smallest eigenvalue of the Hessian, to 1e-7 of its norm,";
  if (quantity == "max_eig") return "largest eigenvalue of the Hessian, to 1e-7 of its norm,";
  if (quantity == "min_ntk") return "smallest eigenvalue of the NTK of the trained blocks" + ntk_on(result);
  return quantity == "train_acc" ? "accuracy in %" : quantity;
}
/// Where the loss is least and most among the computed points where it is finite, none: -1, and how many
/// these are.
struct Extremes {
  Index lowest = -1, highest = -1, finite = 0, lost = 0;
};
Extremes extremes(const SliceResult& result) {
  const std::vector<double>& loss = result.values[0];
  Extremes e;
  for (Index i = 0; i < result.grid.size(); ++i) {
    if (result.computed[i] == 0) continue;
    if (!std::isfinite(loss[i])) {
      ++e.lost;
      continue;
    }
    ++e.finite;
    if (e.lowest < 0 || loss[i] < loss[e.lowest]) e.lowest = i;
    if (e.highest < 0 || loss[i] > loss[e.highest]) e.highest = i;
  }
  return e;
}

std::string loss_line(const SliceResult& result, const Extremes& e) {
  const Grid& g = result.grid;
  const std::vector<double>& loss = result.values[0];
  const std::string nx = std::to_string(g.x.count), ny = std::to_string(g.y.count);
  const std::string grid = result.of_lines()  ? ny + " lines of " + nx + " points"
                           : result.of_line() ? nx + " points of the line"
                                              : nx + " x " + ny + " grid";
  const auto place = [&](Index i) {
    const std::string a = number(g.x.at(i % g.x.count));
    return result.of_line() ? "a = " + a : "(" + a + ", " + number(g.y.at(i / g.x.count)) + ")";
  };
  std::string line = "loss at the point f = " + number(result.center_loss, 10);
  const double spread = e.lowest >= 0 ? (loss[e.highest] - loss[e.lowest]) / loss[e.highest] : 0;
  if (e.finite > 1 && spread <= kConstant)
    line += "; constant on the " + grid + (spread > 0 ? " to " + number(spread, 1) : "");
  else if (e.lowest >= 0)
    line += "; lowest on the " + grid + " " + number(loss[e.lowest], 10) +
            (result.of_lines() ? "" : " at " + place(e.lowest)) + ", highest " + number(loss[e.highest], 6);
  return line;
}

std::string convergence_line(const std::vector<double>& converged) {
  const auto open = std::count(converged.begin(), converged.end(), 0.0);
  return open > 0 ? "  eigenvalues of " + std::to_string(open) +
                        " points did not converge: they are bounds from inside the spectrum"
                  : "";
}

std::string definiteness_line(const std::vector<double>& verdicts) {
  std::string counts;
  bool known = true;
  for (const Definiteness d : {Definiteness::in_theory, Definiteness::undecided, Definiteness::singular})
    if (const auto points = std::count(verdicts.begin(), verdicts.end(), static_cast<double>(d));
        points > 0) {
      counts += (counts.empty() ? "" : ", ") +
                std::string(d == Definiteness::in_theory ? "positive definite " : "") + to_string(d) +
                " at " + std::to_string(points) + " points";
      known = known && d == Definiteness::singular;
    }
  return counts.empty()
             ? ""
             : "  NTK " + counts + (known ? "" : "; min_ntk is an upper bound where it is not known");
}

/// Of a quantity besides the loss; empty where there is nothing to say.
std::string quantity_line(const SliceResult& result, std::size_t q) {
  const std::vector<double>& values = result.values[q];
  if (result.quantities[q] == "eig_converged") return convergence_line(values);
  if (result.quantities[q] == "ntk_definiteness") return definiteness_line(values);
  double low = HUGE_VAL, high = -HUGE_VAL;
  for (Index i = 0; i < result.grid.size(); ++i)
    if (result.computed[i] != 0 && std::isfinite(values[i])) {
      low = std::min(low, values[i]);
      high = std::max(high, values[i]);
    }
  if (!(low <= high)) return "";
  return "  " + quantity_text(result, result.quantities[q]) +
         (low == high ? " is " + number(low) : " from " + number(low) + " to " + number(high));
}

}  // namespace

std::vector<std::string> summary_lines(const SliceResult& result) {
  const Extremes e = extremes(result);
  std::vector<std::string> lines = {loss_line(result, e)};
  if (!result.complete())
    lines.push_back(std::to_string(result.done()) + " of " + std::to_string(result.grid.size()) +
                    " points are computed");
  if (e.lost > 0)
    lines.push_back(std::to_string(e.lost) + " grid points overflow: the loss there is not finite");
  for (std::size_t q = 1; q < result.quantities.size(); ++q)
    if (std::string line = quantity_line(result, q); !line.empty()) lines.push_back(std::move(line));
  return lines;
}

std::string direction_text(const std::string& name, const Direction& d) {
  std::string text = "  " + name + ": " + d.origin;
  if (d.origin == "none") return text;
  if (d.normalisation != "none") text += ", normalised by " + d.normalisation;
  text += "; norm " + number(d.vector.norm());
  if (std::isnan(d.symmetry_share)) return text;
  return text + ", " + number(100 * d.symmetry_share, 3) + " % of its square in symmetry directions";
}

std::string trajectory_text(const PathOnPlane& path) {
  const double share = path.projected.variance_share;
  return "trajectory of " + std::to_string(path.step.size()) + " points" +
         (std::isnan(share)
              ? ", which are one"
              : ": " + number(100 * share, 4) + " % of the variance of all its weights is in the plane") +
         ", at most " + number(path.projected.distance.maxCoeff(), 4) + " from it";
}

}  // namespace basin::tools
