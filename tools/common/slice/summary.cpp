#include "common/slice/summary.h"

#include <algorithm>
#include <cmath>

#include "basin/ntk/minimum.h"
#include "common/command/command.h"

namespace basin::tools {
namespace {
constexpr double kConstant = 1e-12;  // relative: differences that rounding explains

/// A quantity in words, with what its numbers are worth.
std::string quantity_text(const std::string& quantity) {
  if (quantity == "gradient_norm") return "norm of the gradient";
  if (quantity == "min_eig") return "smallest eigenvalue of the Hessian, to 1e-7 of its norm,";
  if (quantity == "max_eig") return "largest eigenvalue of the Hessian, to 1e-7 of its norm,";
  if (quantity == "min_ntk") return "smallest eigenvalue of the NTK of the trained blocks";
  return quantity == "train_acc" ? "accuracy in %" : quantity;
}
}  // namespace

std::vector<std::string> summary_lines(const SliceResult& result) {
  const Grid& g = result.grid;
  const std::vector<double>& loss = result.values[0];
  Index lowest = -1, highest = -1, finite = 0, lost = 0;
  for (Index i = 0; i < g.size(); ++i) {
    if (result.computed[i] == 0) continue;
    if (!std::isfinite(loss[i])) {
      ++lost;
      continue;
    }
    ++finite;
    if (lowest < 0 || loss[i] < loss[lowest]) lowest = i;
    if (highest < 0 || loss[i] > loss[highest]) highest = i;
  }
  std::vector<std::string> lines;
  const std::string nx = std::to_string(g.x.count), ny = std::to_string(g.y.count);
  const std::string grid = result.of_lines()  ? ny + " lines of " + nx + " points"
                           : result.of_line() ? nx + " points of the line"
                                              : nx + " x " + ny + " grid";
  const auto place = [&](Index i) {
    const std::string a = number(g.x.at(i % g.x.count));
    return result.of_line() ? "a = " + a : "(" + a + ", " + number(g.y.at(i / g.x.count)) + ")";
  };
  std::string first = "loss at the point f = " + number(result.center_loss, 10);
  const double spread = lowest >= 0 ? (loss[highest] - loss[lowest]) / loss[highest] : 0;
  if (finite > 1 && spread <= kConstant)
    first += "; constant on the " + grid + (spread > 0 ? " to " + number(spread, 1) : "");
  else if (lowest >= 0)
    first += "; lowest on the " + grid + " " + number(loss[lowest], 10) +
             (result.of_lines() ? "" : " at " + place(lowest)) + ", highest " + number(loss[highest], 6);
  lines.push_back(first);
  if (!result.complete())
    lines.push_back(std::to_string(result.done()) + " of " + std::to_string(g.size()) +
                    " points are computed");
  if (lost > 0) lines.push_back(std::to_string(lost) + " grid points overflow: the loss there is not finite");
  for (std::size_t q = 1; q < result.quantities.size(); ++q) {
    if (result.quantities[q] == "eig_converged") {
      if (const auto open = std::count(result.values[q].begin(), result.values[q].end(), 0.0); open > 0)
        lines.push_back("  eigenvalues of " + std::to_string(open) +
                        " points did not converge: they are bounds from inside the spectrum");
      continue;
    }
    if (result.quantities[q] == "ntk_definiteness") {
      const std::vector<double>& verdicts = result.values[q];
      std::string counts;
      for (const Definiteness d : {Definiteness::in_theory, Definiteness::undecided, Definiteness::singular})
        if (const auto points = std::count(verdicts.begin(), verdicts.end(), static_cast<double>(d));
            points > 0)
          counts += (counts.empty() ? "" : ", ") + to_string(d) + " at " + std::to_string(points) + " points";
      if (!counts.empty())
        lines.push_back("  NTK positive definite " + counts +
                        "; min_ntk is an upper bound where it is not known");
      continue;
    }
    double low = HUGE_VAL, high = -HUGE_VAL;
    for (Index i = 0; i < g.size(); ++i)
      if (result.computed[i] != 0 && std::isfinite(result.values[q][i])) {
        low = std::min(low, result.values[q][i]);
        high = std::max(high, result.values[q][i]);
      }
    if (low <= high)
      lines.push_back("  " + quantity_text(result.quantities[q]) + " from " + number(low) + " to " +
                      number(high));
  }
  return lines;
}

std::string direction_text(const std::string& name, const Direction& d) {
  std::string text = "  " + name + ": " + d.origin;
  if (d.origin == "none") return text;
  if (d.normalisation != "none") text += ", normalised by " + d.normalisation;
  return text + "; norm " + number(d.vector.norm()) + ", " + number(100 * d.symmetry_share, 3) +
         " % of its square in symmetry directions";
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
