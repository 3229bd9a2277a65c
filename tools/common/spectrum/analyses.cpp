#include "common/spectrum/analyses.h"

#include <algorithm>

#include "basin/curvature/network_symmetries.h"
#include "basin/linalg/errors.h"
#include "common/spectrum/options.h"

namespace basin::tools {
namespace {

constexpr std::uint64_t kNumbers = 64;  // of operators at a point, more than there are
constexpr std::uint64_t kCountedNumber = kNumbers / 2;

/// Keeps the products of operators in the journal, if there is one. first: the number of the first operator,
/// another one at each point.
StandIn recorded_in(ProductJournal* journal, std::uint64_t first) {
  if (journal == nullptr) return {};
  return [journal, first](const SelfAdjointOperator& A, std::uint64_t number) {
    return std::make_unique<const RecordedOperator>(A, *journal, first + number);
  };
}

/// Those that are set aside or counted; nothing where they are not asked for.
std::unique_ptr<const Symmetries> symmetries_for(const SpectrumRequest& request, const NetworkTheory& theory,
                                                 const ModelPoint<double>& point, const std::string& block) {
  if (!request.counts && !request.restricted) return nullptr;
  const Index P = point.theta_size();
  auto symmetries = std::make_unique<const Symmetries>(theory.symmetries(point));
  if (request.restricted && symmetries->modes() >= P)
    throw InputError("--modulo-symmetries: all " + std::to_string(P) + " directions " +
                     (block.empty() ? "" : "of " + block + " ") + "are symmetries");
  return symmetries;
}

void set_aside(SpectrumSubject& of, const Symmetries* symmetries) {
  if (symmetries == nullptr) return;
  of.remove = [symmetries](VectorsRef<double> V) { symmetries->remove(V); };
  of.modes = symmetries->modes();
}

std::vector<BlockRange> trained_ranges(const ParameterLayout& parameters) {
  std::vector<BlockRange> ranges;
  for (const auto& e : parameters.entries())
    if (e.trainable()) ranges.push_back({e.block.name, e.theta_offset, e.block.size()});
  return ranges;
}

/// In the memory that the plans leave, or a share of it.
Linearization<double> linearize(const Command& command, const ModelPoint<double>& point, double planned,
                                double share = 1) {
  const double left = static_cast<double>(command.memory()) - planned;
  return point.linearize({.memory = static_cast<std::size_t>(left * share)});
}

/// What is counted modulo symmetries: the matrices of the balanced point.
struct CountedPoint {
  CountedPoint(const Command& command, const Setup& setup, const Symmetries& here, double planned,
               ProductJournal* journal)
      : balanced(balanced_point(setup.point, here.modes())) {
    if (balanced.distance == 0 && balanced.folded == 0) return;
    // Found in the same way: with gains folded, a network may be small enough for another one.
    std::optional<Symmetries> known;
    if (here.known_alone()) known = known_symmetries(balanced.point);
    symmetries.emplace(known ? std::move(*known) : setup.theory->symmetries(balanced.point));
    if (symmetries->modes() + balanced.folded != here.modes()) {
      const Index there = symmetries->modes() + balanced.folded;
      balanced = {
          setup.point,
          0,
          0,
          {"all symmetries, as " + std::to_string(there) + " of them are found at the balanced point, and " +
           std::to_string(here.modes()) + " here"}};
      return;
    }
    at.emplace(linearize(command, balanced.point, planned, 0.5));
    parts.emplace(*at, setup.theory->product_underflow(*at), recorded_in(journal, kCountedNumber));
  }
  CountedPoint(const CountedPoint&) = delete;
  CountedPoint& operator=(const CountedPoint&) = delete;

  BalancedPoint balanced;
  std::optional<Symmetries> symmetries;
  std::optional<Linearization<double>> at;
  std::optional<MeasuredHessianParts> parts;  ///< none: those of the point itself
};

SpectrumResults analyse(const Command& command, const SpectrumRequest& request, const SpectrumPlan& plan,
                        const SpectrumSubject& of, HessianPart part, const std::string& block,
                        const LossFacts& loss) {
  SpectrumResults results;
  results.matrix = to_string(part);
  results.block = block;
  results.gauss_newton = loss.quadratic ? "J^T J" : "J^T H_l J";
  results.convex = loss.convex;
  const std::string title = matrix_title(results, request.restricted ? of.modes : 0);
  const SpectrumReports reports = {
      [&](const std::string& line) { command.message(title + ": " + line); },
      [&](const std::string& work) { return command.progress(title + ", " + work); }};
  static_cast<SpectrumAnalysis&>(results) = analyse_spectrum(of, request, plan, reports);
  return results;
}

}  // namespace

WholeAnalysis analyse_whole(const Command& command, const SpectrumRequest& request,
                            const std::vector<HessianPart>& matrices, const Setup& setup,
                            ProductJournal* journal) {
  const SpectrumPlan plan = spectrum_plan(command, request, setup.point.theta_size());
  const Linearization<double> at = linearize(command, setup.point, plan.bytes(), request.counts ? 0.5 : 1);
  const double underflow = setup.theory->product_underflow(at);
  WholeAnalysis whole;
  whole.kinks = at.kinks();
  const auto stationarity = [&](const SelfAdjointOperator& gauss_newton) {
    return stationarity_at(at, *setup.theory, gauss_newton, command.seed());
  };
  if (matrices.empty()) {
    const HessianParts parts(at, underflow, recorded_in(journal, 0));
    whole.point = stationarity(parts.get(HessianPart::gauss_newton));
    return whole;
  }
  const MeasuredHessianParts parts(at, underflow, recorded_in(journal, 0));
  whole.symmetries = symmetries_for(request, *setup.theory, setup.point, "");
  if (whole.symmetries) whole.pseudo = pseudo_symmetries(at, *whole.symmetries);
  const std::unique_ptr<const CountedPoint> counted =
      request.counts && whole.symmetries->modes() > 0
          ? std::make_unique<const CountedPoint>(command, setup, *whole.symmetries, plan.bytes(), journal)
          : nullptr;
  if (counted) whole.balanced = counted->balanced;
  const std::string block = command.given("block") ? command.get<std::string>("block") : "";
  for (const HessianPart part : matrices) {
    const FarthestPerturbed farthest = parts.farthest(part);
    SpectrumSubject of = {
        .A = parts.get(part), .perturbed = &farthest, .blocks = trained_ranges(at.parameters())};
    set_aside(of, whole.symmetries.get());
    const auto add = [&] {
      whole.matrices.push_back(analyse(command, request, plan, of, part, block, at.loss_facts()));
    };
    if (!counted || !counted->parts) {
      add();
      continue;
    }
    const FarthestPerturbed other = counted->parts->farthest(part);
    SpectrumSubject reduced = {.A = counted->parts->get(part), .perturbed = &other};
    set_aside(reduced, &*counted->symmetries);
    of.counted = &reduced;
    add();
  }
  whole.point = stationarity(parts.get(HessianPart::gauss_newton));
  return whole;
}

SpectrumPlan plan_of_part(const Command& command, const SpectrumRequest& request, const DiagonalPart& part) {
  return spectrum_plan(command, request_of_part(request, part.size), part.size, part.name);
}

std::vector<PerBlock> analyse_parts(const Command& command, const SpectrumRequest& request,
                                    const std::vector<HessianPart>& matrices, const Setup& setup,
                                    const std::vector<DiagonalPart>& parts, ProductJournal* journal) {
  std::vector<PerBlock> all(matrices.size());
  for (std::size_t p = 0; p < parts.size();) {
    const std::vector<std::string>& blocks = parts[p].blocks;
    const auto end = std::find_if(parts.begin() + static_cast<std::ptrdiff_t>(p), parts.end(),
                                  [&](const DiagonalPart& part) { return part.blocks != blocks; });
    const std::size_t last = static_cast<std::size_t>(end - parts.begin());
    double planned = 0;
    for (std::size_t q = p; q < last; ++q)
      planned = std::max(planned, plan_of_part(command, request, parts[q]).bytes());
    const ModelPoint<double> point = setup.point.with_trainable(blocks);
    const Linearization<double> at = linearize(command, point, planned);
    const MeasuredHessianParts operators(at, setup.theory->product_underflow(at),
                                         recorded_in(journal, kNumbers * (p + 1)));
    for (; p < last; ++p) {
      const DiagonalPart& part = parts[p];
      const SpectrumRequest asked = request_of_part(request, part.size);
      const SpectrumPlan plan = plan_of_part(command, request, part);
      const std::unique_ptr<const Symmetries> symmetries =
          part.size == point.theta_size() ? symmetries_for(request, *setup.theory, point, part.name)
                                          : nullptr;
      for (std::size_t m = 0; m < matrices.size(); ++m) {
        const FarthestPerturbed farthest = operators.farthest(matrices[m]);
        const DiagonalBlock A(operators.get(matrices[m]), part.first, part.size),
            perturbed(farthest, part.first, part.size);
        SpectrumSubject of = {.A = A, .perturbed = &perturbed};
        set_aside(of, symmetries.get());
        all[m].parts.push_back(part);
        all[m].results.push_back(analyse(command, asked, plan, of, matrices[m], part.name, at.loss_facts()));
      }
    }
  }
  for (PerBlock& of : all) compare_densities(of);
  return all;
}

}  // namespace basin::tools
