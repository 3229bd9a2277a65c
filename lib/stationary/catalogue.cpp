#include "basin/stationary/catalogue.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace basin {
namespace {

constexpr double kLargestTolerance =
    1e-3;                              // for points that are known badly: different ones are further apart
constexpr double kGivenDigits = 1e-9;  // to which a minimum that is given is meant

bool listed(const CatalogueItem& item) {
  return item.kind != PointKind::not_stationary && item.kind != PointKind::not_finite;
}

bool isolated(const CatalogueItem& item) {
  return item.kind == PointKind::strict_minimum || (item.kind == PointKind::saddle && item.zero == 0);
}

double distance(const CatalogueItem& a, const CatalogueItem& b) {
  if (a.kind == PointKind::zero_loss && b.kind == PointKind::zero_loss) return 0;  // the outputs are Y
  if (a.to_infimum != b.to_infimum) return kInfinity;
  if (a.to_infimum) return 0;  // no points, but ways to the same infimum
  return isolated(a) || isolated(b) ? signature_distance(a.function, b.function)
                                    : output_distance(a.function, b.function);
}

double tolerance(const CatalogueItem& a, const CatalogueItem& b) {
  if (!isolated(a) && !isolated(b)) return kSameFunction;
  return std::clamp(a.function_error + b.function_error, kSameFunction, kLargestTolerance);
}

/// Points with the same function have the same loss; of a continuum, or on the way to infinity, only about.
bool same_loss(const CatalogueItem& a, const CatalogueItem& b) {
  return !isolated(a) || !isolated(b) || std::abs(a.loss - b.loss) <= a.loss_error + b.loss_error;
}

bool same_kind(const CatalogueItem& a, const CatalogueItem& b) {
  return a.kind == b.kind && (a.kind != PointKind::saddle || (a.negative <= b.negative + b.doubtful &&
                                                              b.negative <= a.negative + a.doubtful));
}

void find_entries(const std::vector<CatalogueItem>& items, Catalogue& c) {
  for (Index i = 0; i < static_cast<Index>(items.size()); ++i) {
    if (!listed(items[i])) continue;
    CatalogueEntry* nearest = nullptr;
    double least = std::numeric_limits<double>::infinity();
    for (CatalogueEntry& entry : c.entries) {
      const CatalogueItem& first = items[entry.members[0]];
      if (!same_point(first, items[i])) continue;
      if (const double d = distance(first, items[i]); d < least) least = d, nearest = &entry;
    }
    if (!nearest) {
      c.entries.push_back({{i}, i, 0, 0});
    } else {
      nearest->members.push_back(i);
      if (items[i].loss + items[i].loss_error < items[nearest->shown].loss) nearest->shown = i;
      nearest->spread = std::max(nearest->spread, least);
    }
  }
  std::stable_sort(c.entries.begin(), c.entries.end(), [&](const CatalogueEntry& a, const CatalogueEntry& b) {
    return items[a.shown].loss < items[b.shown].loss;
  });
  c.entry_of.assign(items.size(), -1);
  for (std::size_t e = 0; e < c.entries.size(); ++e) {
    CatalogueEntry& entry = c.entries[e];
    entry.nearest = std::numeric_limits<double>::infinity();
    const CatalogueItem& shown = items[entry.shown];
    for (const CatalogueEntry& other : c.entries)
      if (&other != &entry && same_kind(shown, items[other.shown]))
        entry.nearest = std::min(entry.nearest, distance(shown, items[other.shown]));
    for (const Index i : entry.members) c.entry_of[i] = static_cast<Index>(e);
  }
}

/// The lowest value of f there is, as far as is known.
void find_lowest(const std::vector<CatalogueItem>& items, std::optional<double> known, Catalogue& c) {
  c.lowest = std::numeric_limits<double>::quiet_NaN();
  double error = 0;
  bool zero = false;
  for (const CatalogueItem& item : items) {
    if (item.kind == PointKind::not_finite) continue;
    zero = zero || item.kind == PointKind::zero_loss;
    if (!(c.lowest <= item.loss)) c.lowest = item.loss, error = item.loss_error;
  }
  c.known_refuted = known && c.lowest < *known - error - kGivenDigits * *known;
  c.lowest_known = zero || (known && !c.known_refuted);
  if (zero)
    c.lowest = 0;
  else if (c.lowest_known)
    c.lowest = *known;
}

Verdict verdict_of(const CatalogueItem& item, const Catalogue& c) {
  const bool at_lowest = item.loss <= c.lowest + item.loss_error + kGivenDigits * std::abs(c.lowest);
  switch (item.kind) {
    case PointKind::zero_loss:
      return Verdict::global_minimum;
    case PointKind::strict_minimum:
      if (!at_lowest) return Verdict::suboptimal_minimum;
      return c.lowest_known ? Verdict::global_minimum : Verdict::best_minimum;
    case PointKind::saddle:
      return Verdict::saddle;
    case PointKind::degenerate:  // a known value decides where second order does not
      return at_lowest && c.lowest_known ? Verdict::global_minimum : Verdict::degenerate;
    case PointKind::valley:
      return item.to_infimum ? Verdict::global_valley : Verdict::valley;
    case PointKind::not_stationary:
      return Verdict::not_stationary;
    default:
      return Verdict::not_finite;
  }
}

}  // namespace

std::string name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::global_minimum:
      return "global minimum";
    case Verdict::best_minimum:
      return "best known minimum";
    case Verdict::suboptimal_minimum:
      return "suboptimal local minimum";
    case Verdict::saddle:
      return "saddle";
    case Verdict::degenerate:
      return "degenerate";
    case Verdict::valley:
      return "valley to infinity";
    case Verdict::global_valley:
      return "global valley";
    case Verdict::not_stationary:
      return "not stationary";
    default:
      return "not finite";
  }
}

bool same_point(const CatalogueItem& a, const CatalogueItem& b) {
  return same_kind(a, b) && same_loss(a, b) && distance(a, b) <= tolerance(a, b);
}

Catalogue make_catalogue(const std::vector<CatalogueItem>& items, std::optional<double> known_minimum) {
  Catalogue c;
  find_entries(items, c);
  find_lowest(items, known_minimum, c);
  for (const CatalogueItem& item : items) c.verdicts.push_back(verdict_of(item, c));
  return c;
}

}  // namespace basin
