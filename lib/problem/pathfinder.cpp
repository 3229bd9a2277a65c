#include "basin/problem/pathfinder.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <sstream>
#include <vector>

#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"

namespace basin {
namespace {

constexpr int kTriesOfPicture = 400, kTriesOfPath = 60, kTriesOfStep = 12;
constexpr double kFarAlong = 1.5;  // in units of the clearance

struct Place {
  double x = 0, y = 0;
};
struct Dash {
  Place from, to;
};
using Path = std::vector<Dash>;

double distance(Place a, Place b) {
  return std::hypot(a.x - b.x, a.y - b.y);
}

/// Of a place from a dash.
double distance(Place p, const Dash& d) {
  const double dx = d.to.x - d.from.x, dy = d.to.y - d.from.y, square = dx * dx + dy * dy;
  const double along =
      square > 0 ? std::clamp(((p.x - d.from.x) * dx + (p.y - d.from.y) * dy) / square, 0.0, 1.0) : 0;
  return distance(p, Place{d.from.x + along * dx, d.from.y + along * dy});
}

/// Of two dashes, from points along the first: as near as half a pixel.
double distance(const Dash& a, const Dash& b) {
  const int points = std::max(2, static_cast<int>(std::ceil(2 * distance(a.from, a.to))) + 1);
  double nearest = std::min(distance(b.from, a), distance(b.to, a));
  for (int i = 0; i < points; ++i) {
    const double t = static_cast<double>(i) / (points - 1);
    nearest = std::min(
        nearest, distance(Place{a.from.x + t * (a.to.x - a.from.x), a.from.y + t * (a.to.y - a.from.y)}, b));
  }
  return nearest;
}

class Drawing {
 public:
  Drawing(const PathfinderOptions& options, Random& random) : o_(options), random_(random) {}

  /// So many paths that keep clear of each other; nothing if that did not work out.
  std::optional<std::vector<Path>> paths() {
    std::vector<Path> all;
    for (Index k = 0; k < o_.paths; ++k) {
      std::optional<Path> path;
      for (int i = 0; i < kTriesOfPath && !path; ++i) path = one_path(all);
      if (!path) return std::nullopt;
      all.push_back(std::move(*path));
    }
    return all;
  }

 private:
  bool inside(Place p) const {
    const double margin = o_.dot + 0.5, far = static_cast<double>(o_.size) - margin;
    return p.x >= margin && p.y >= margin && p.x <= far && p.y <= far;
  }

  /// Whether there is room for a dash after those of its own path so far.
  bool clear(const Dash& dash, const Path& own, const std::vector<Path>& others) const {
    if (!inside(dash.from) || !inside(dash.to)) return false;
    for (const Path& other : others)
      for (const Dash& there : other)
        if (distance(dash, there) < o_.clearance) return false;
    for (std::size_t i = 0; i < own.size(); ++i) {
      // Neighbours along the path are near, and not in the way.
      const double between = static_cast<double>(own.size() - 1 - i) * (o_.dash + o_.gap) + o_.gap;
      if (between > kFarAlong * o_.clearance && distance(dash, own[i]) < o_.clearance) return false;
    }
    return true;
  }

  std::optional<Path> one_path(const std::vector<Path>& others) {
    const auto size = static_cast<double>(o_.size);
    Path path;
    Place at = {size * random_.uniform(), size * random_.uniform()};
    double direction = 2 * std::numbers::pi * random_.uniform();
    const auto ahead = [&](Place from, double length) {
      return Place{from.x + length * std::cos(direction), from.y + length * std::sin(direction)};
    };
    while (static_cast<Index>(path.size()) < o_.dashes) {
      const double before = direction;
      bool found = false;
      for (int i = 0; i < kTriesOfStep && !found; ++i) {
        direction = before + (path.empty() ? 0 : o_.turn * (2 * random_.uniform() - 1));
        const Place start = path.empty() ? at : ahead(path.back().to, o_.gap);
        const Dash dash = {start, ahead(start, o_.dash)};
        found = clear(dash, path, others);
        if (found) path.push_back(dash);
        if (path.empty()) break;  // nowhere else to begin
      }
      if (!found) return std::nullopt;
    }
    return path;
  }

  const PathfinderOptions& o_;
  Random& random_;
};

/// Both ends of a path; which of them is first is left to chance.
std::pair<Place, Place> ends(const Path& path, Random& random) {
  const Place front = path.front().from, back = path.back().to;
  return random.uniform() < 0.5 ? std::pair(front, back) : std::pair(back, front);
}

}  // namespace

void check_pathfinder(const PathfinderOptions& o) {
  if (o.size < 16 || o.size > 1024)
    throw InputError("size " + std::to_string(o.size) + ": expected 16 to 1024 pixels");
  if (o.dashes < 1 || o.paths < 2)
    throw InputError("dashes " + std::to_string(o.dashes) + ", paths " + std::to_string(o.paths) +
                     ": expected at least 1 and at least 2");
  for (const auto& [name, value, least] :
       {std::tuple("dash", o.dash, 0.5), std::tuple("gap", o.gap, 0.0), std::tuple("turn", o.turn, 0.0),
        std::tuple("width", o.width, 0.1), std::tuple("dot", o.dot, 0.1),
        std::tuple("clearance", o.clearance, 0.0)})
    if (!(value >= least) || value > static_cast<double>(o.size)) {
      std::ostringstream text;
      text << name << " " << value << ": expected " << least << " to " << o.size;
      throw InputError(text.str());
    }
}

PathfinderPicture pathfinder_picture(const PathfinderOptions& options, bool connected, std::uint64_t seed,
                                     const std::string& name) {
  check_pathfinder(options);
  Random random(seed, "pathfinder " + name);
  std::optional<std::vector<Path>> paths;
  for (int i = 0; i < kTriesOfPicture && !paths; ++i) paths = Drawing(options, random).paths();
  if (!paths)
    throw WorkError(std::to_string(options.paths) + " paths of " + std::to_string(options.dashes) +
                    " dashes find no room in " + std::to_string(options.size) + " x " +
                    std::to_string(options.size) + " pixels; ask for fewer or shorter ones");
  const auto [first, other_end] = ends(paths->front(), random);
  const Place second = connected ? other_end : ends((*paths)[1], random).first;

  PathfinderPicture picture;
  picture.connected = connected;
  picture.grey.setZero(options.size, options.size);
  for (Index row = 0; row < options.size; ++row)
    for (Index col = 0; col < options.size; ++col) {
      const Place pixel = {static_cast<double>(col) + 0.5, static_cast<double>(row) + 0.5};
      // What a disc or a stroke covers of a pixel, by the distance of its edge.
      const auto covered = [](double inside) { return std::clamp(inside + 0.5, 0.0, 1.0); };
      double grey = std::max(covered(options.dot - distance(pixel, first)),
                             covered(options.dot - distance(pixel, second)));
      for (const Path& path : *paths)
        for (const Dash& dash : path)
          grey = std::max(grey, covered(options.width / 2 - distance(pixel, dash)));
      picture.grey(row, col) = grey;
    }
  return picture;
}

}  // namespace basin
