/// What an attack on bounds has found, kind by kind.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "support/quad.h"

namespace basin::test {

/// Bounds of one kind.
struct Tally {
  long draws = 0, bounds = 0, violations = 0;
  /// The largest half width and error of every draw, in units of the problem.
  std::vector<double> halves, errors;
  double worst = 0;  ///< the largest error in half widths
  std::string last_draw, worst_draw;
  std::vector<std::string> broken;  ///< the first few draws that violate it

  /// Half widths and errors that are both zero say nothing.
  static std::vector<double> of_interest(const std::vector<double>& v, const std::vector<double>& other) {
    std::vector<double> kept;
    for (std::size_t i = 0; i < v.size(); ++i)
      if (v[i] != 0 || other[i] != 0) kept.push_back(v[i]);
    return kept;
  }
  static double median(std::vector<double> v) {
    if (v.empty()) return 0;
    std::nth_element(v.begin(), v.begin() + static_cast<long>(v.size() / 2), v.end());
    return v[v.size() / 2];
  }
  double half() const { return median(of_interest(halves, errors)); }
  double error() const { return median(of_interest(errors, halves)); }
  /// Median half width over median error. Infinite where a bound of infinity is the usual one.
  double looseness() const { return half() == 0 ? 0 : half() / error(); }
};

class Table {
 public:
  explicit Table(std::string draw = "") : draw_(std::move(draw)) {}
  void next(std::string draw) { draw_ = std::move(draw); }

  /// |value - truth| = error <= bound. `scale`: what errors are relative to, when medians are taken.
  void bound(const std::string& kind, Quad error, Quad half, Quad scale) {
    Tally& t = begin(kind);
    count(t, error, half);
    widen(t, half, error, scale);
  }
  /// lower <= truth <= upper.
  void enclosure(const std::string& kind, double lower, double value, double upper, Quad truth, Quad scale) {
    Tally& t = begin(kind);
    const Quad below = Quad(upper) - Quad(value), above = Quad(value) - Quad(lower);
    count(t, truth > Quad(value) ? truth - Quad(value) : Quad(value) - truth,
          truth > Quad(value) ? below : above);
    widen(t, (Quad(upper) - Quad(lower)) / 2, abs_of(Quad(value) - truth), scale);
  }
  /// An enclosure that is computed to a tolerance, not to rounding: its width, relative to the value.
  void width(const std::string& kind, double lower, double upper, double value) {
    widen(begin(kind), (Quad(upper) - Quad(lower)) / 2, 0, Quad(value));
  }
  /// small <= large, one of them a bound.
  void ordered(const std::string& kind, Quad small, Quad large) {
    Tally& t = begin(kind);
    count(t, small > large ? small : Quad(0), small > large ? large : Quad(1));
  }
  void holds(const std::string& kind, bool ok) {
    Tally& t = begin(kind);
    count(t, ok ? 0 : 2, 1);
  }

  void print() const {
    std::printf("%-44s %7s %8s %6s %10s %10s %8s %9s  %s\n", "kind of bound", "draws", "bounds", "broken",
                "half", "error", "ratio", "worst", "in");
    for (const auto& [kind, t] : tallies_) {
      std::printf("%-44s %7ld %8ld %6ld %10.2g %10.2g %8.3g %9.3g  %s\n", kind.c_str(), t.draws, t.bounds,
                  t.violations, t.half(), t.error(), t.looseness(), t.worst, t.worst_draw.c_str());
      for (const std::string& draw : t.broken) std::printf("    broken in %s\n", draw.c_str());
    }
    std::fflush(stdout);
  }
  const std::map<std::string, Tally>& tallies() const { return tallies_; }

 private:
  Tally& begin(const std::string& kind) {
    kind_ = kind;
    Tally& t = tallies_[kind];
    ++t.bounds;
    if (t.last_draw != draw_) {
      ++t.draws, t.last_draw = draw_;
      t.halves.push_back(0), t.errors.push_back(0);
    }
    return t;
  }
  static void widen(Tally& t, Quad half, Quad error, Quad scale) {
    if (!(scale > 0)) return;
    t.halves.back() = std::max(t.halves.back(), static_cast<double>(half / scale));
    t.errors.back() = std::max(t.errors.back(), static_cast<double>(error / scale));
  }
  void count(Tally& t, Quad error, Quad half) {
    const bool ok = error <= half;  // false for NaN
    const double share =
        ok ? (half > 0 ? static_cast<double>(error / half) : 0)
           : (half > 0 ? static_cast<double>(error / half) : std::numeric_limits<double>::infinity());
    if (!(share <= t.worst)) t.worst = share, t.worst_draw = draw_;
    if (ok) return;
    if (std::getenv("VERBOSE"))
      std::printf("%s: %s: %.17g > %.17g\n", draw_.c_str(), kind_.c_str(), static_cast<double>(error),
                  static_cast<double>(half));
    ++t.violations;
    if (t.broken.size() < 6 && (t.broken.empty() || t.broken.back() != draw_)) t.broken.push_back(draw_);
  }

  std::map<std::string, Tally> tallies_;
  std::string draw_, kind_;
};

}  // namespace basin::test
