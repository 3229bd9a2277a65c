#include "common/catalogue/summary.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/statistics.h"
#include "common/catalogue/text.h"

namespace basin::tools {
namespace {

double above_bound(const Catalogue& c) {
  return std::max(0.0, c.lowest - c.bound);
}

/// Whether the lowest loss is so near to the least that labels allow that this is worth saying.
bool is_near_bound(const Catalogue& c) {
  constexpr double kNear = 1e-3;  // of the bound
  return c.bound > 0 && above_bound(c) <= kNear * c.bound;
}

/// What is known of the lowest loss.
std::string lowest_text(const CatalogueData& data, const Catalogue& c) {
  if (c.known_refuted)
    return "the global minimum is not " + number(data.known->loss, 10) + " (" + data.source() +
           "): lowest loss found f = " + number(c.lowest, 10);
  const std::string lowest = "lowest loss found f = " + number(c.lowest, 10),
                    nearness = lowest + ", within " + number(above_bound(c), 2) +
                               " of the least that these labels allow: no start can end lower by more";
  if (std::find(c.verdicts.begin(), c.verdicts.end(), Verdict::global_valley) != c.verdicts.end())
    return c.bound > 0 ? "the loss comes to its infimum along a valley; " + nearness
                       : "the loss falls to its infimum 0, which no point attains; " + lowest;
  if (!c.lowest_known) return "the global minimum is not known; " + (is_near_bound(c) ? nearness : lowest);
  return "global minimum f = " + number(c.lowest, 10) +
         (data.source().empty() ? ", reached" : " (" + data.source() + ")");
}

/// Steps of the method that were too long.
void say_steps(Command& command, const CatalogueData& data) {
  Index rose = 0, overflow = 0, far = 0;
  double safe = HUGE_VAL, farthest = 0;
  for (const StartRecord& r : data.starts) {
    if (r.first_step_share > 1 && std::isfinite(r.first_step_share))
      ++far, farthest = std::max(farthest, r.first_step_share);
    if (r.not_finite == 0 && r.rose == 0) continue;
    ++(r.not_finite != 0 ? overflow : rose);
    safe = std::min(safe, r.safe_step > 0 ? r.safe_step : HUGE_VAL);
  }
  const Specification& all = data.specification;
  const bool automatic =
      std::find(all.begin(), all.end(), std::pair<std::string, std::string>{"step", "auto"}) != all.end();
  const std::string step = automatic ? "the automatic step" : "--step";
  if (rose + overflow > 0)
    command.say(step + " is too large: the loss overflowed in " + std::to_string(overflow) +
                " descents and ended above the start in " + std::to_string(rose) +
                (std::isfinite(safe)
                     ? "; each falls with a shorter one, the shortest --step " + number(safe, 4)
                     : ""));
  if (far > 0)
    command.say("the first step is longer than the weights it starts from in " + std::to_string(far) +
                " descents, by up to a factor " + number(farthest, 3) +
                ": where these end says little of where gradient descent in short steps does (--method gd "
                "--step flow)");
}

/// How a sentence on a given point begins: what was judged is the stationary point next to it, if there is
/// one.
std::string given_text(const StartRecord& r, Verdict verdict, const std::string& point) {
  constexpr double kSame = 1e-8;  // of |theta|: digits that a file written by hand has
  if (verdict == Verdict::not_stationary || verdict == Verdict::not_finite) return point + " is ";
  if (verdict == Verdict::global_valley) return point + " is in a ";  // which is no point near by
  const std::string article = verdict == Verdict::degenerate ? "" : "a ";
  if (r.distance <= kSame * r.norm) return point + " is " + article;
  return point + ", f = " + number(r.start_loss, 7) + ", is at a distance of " + number(r.distance, 3) +
         " from one that is " + article;
}

/// What verdicts mean for the user of a network of which little else is known, and what to do next.
void say_meanings(Command& command, const CatalogueData& data, const Catalogue& c) {
  if (data.shape.heads > 0) return;  // the single attention layer
  const auto found = [&](Verdict verdict) {
    return std::find(c.verdicts.begin(), c.verdicts.end(), verdict) != c.verdicts.end();
  };
  for (const auto& [verdict, meaning] :
       {std::pair<Verdict, std::string>{
            Verdict::global_valley,
            c.bound > 0 ? "no point, but as good as a global minimum: the loss is within " +
                              number(kNearBound) + " of the least that these labels allow, relative to it"
                        : "no point, but as good as a global minimum: every sample is in its class, and the "
                          "loss falls to its infimum as the last layer grows"},
        {Verdict::valley, std::string("no point: descent would go on for ever") +
                              (is_near_bound(c) ? "" : "; whether other starts end lower is not known")},
        {Verdict::degenerate,
         "stationary, but flat to second order in some directions; symmetries of the network that are not "
         "known are among these, so that it may well be a minimum"},
        {Verdict::not_stationary,
         "no stationary point near by; more --steps and --finish-steps go on with a descent, --from FILE "
         "descends from a given point"}})
    if (found(verdict)) command.say(name_of(verdict) + ": " + meaning);
}

}  // namespace

void say_catalogue(Command& command, const CatalogueData& data, const Catalogue& c) {
  constexpr std::size_t kMost = 10;
  std::vector<std::size_t> given;
  for (std::size_t i = 0; i < data.starts.size(); ++i)
    if (data.starts[i].origin == Origin::given) given.push_back(i);
  for (std::size_t k = 0; k < given.size() && k < kMost; ++k) {
    const StartRecord& r = data.starts[given[k]];
    const Verdict verdict = c.verdicts[given[k]];
    command.say(given_text(r, verdict, given.size() == 1 ? "the given point" : place_of(r, data)) +
                describe(r, verdict, c, data.source()));
  }
  if (given.size() > kMost)
    command.say("... and " + std::to_string(given.size() - kMost) + " more given points in the file");
  for (const VerdictShare& s : verdict_shares(data, c)) {
    if (s.count == 0) continue;
    const Interval interval = wilson_interval(s.count, s.total);
    command.say(std::to_string(s.count) + " of " + std::to_string(s.total) +
                (s.origin == Origin::descent ? " descents: "
                 : s.origin == Origin::from  ? " descents from given starts: "
                                             : " searches for saddles: ") +
                name_of(s.verdict) + " (95 % interval " + percent(interval.lower) + " to " +
                percent(interval.upper) + ")");
  }
  say_steps(command, data);
  if (!c.entries.empty() || c.lowest_known || is_near_bound(c)) command.say(lowest_text(data, c));
  if (!c.entries.empty()) command.say("different points, as often as they were found:");
  for (std::size_t e = 0; e < c.entries.size() && e < kMost; ++e) {
    const Index first = c.entries[e].shown;
    const StartRecord& r = data.starts[first];
    command.say("  " + std::to_string(e) + ": " + std::to_string(c.entries[e].members.size()) + " x " +
                brief(r, c.verdicts[first], c) +
                (r.perturbed > 0
                     ? "; " + number(r.returned) + " of " + number(r.perturbed) + " perturbed starts return"
                     : "") +
                (r.escape_fall < 0 ? "; f falls by " + number(-r.escape_fall, 4) + " in a step of " +
                                         number(std::abs(r.escape_step), 3)
                                   : ""));
  }
  if (c.entries.size() > kMost)
    command.say("  ... and " + std::to_string(c.entries.size() - kMost) + " more in the file");
  say_meanings(command, data, c);
}

}  // namespace basin::tools
