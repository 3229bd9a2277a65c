/// basin-hessian: the spectrum of the Hessian of the loss, of its Gauss-Newton and residual parts, and of
/// their blocks.
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "basin/curvature/hessian_parts.h"
#include "basin/curvature/symmetries.h"
#include "basin/linalg/errors.h"
#include "basin/problem/encoding.h"
#include "common/command/given_weights.h"
#include "common/command/run.h"
#include "common/command/run_output.h"
#include "common/command/setup.h"
#include "common/spectrum/file.h"
#include "common/spectrum/options.h"
#include "common/spectrum/product_journal.h"
#include "common/spectrum/summary.h"

using namespace basin;
using namespace basin::tools;

namespace {

const Introduction kIntroduction = {
    "basin-hessian",
    "the spectrum of the Hessian of the loss: ends, counts, density, and where it comes from",
    "PROBLEM.h5 -o RESULT.h5 [--largest K] [--smallest K] [--counts] [--density] [--norms] [--full] "
    "[options]",
    R"(Eigenpairs come from exact Hessian-vector products by restarted Lanczos (Spectra), with their multiplicities:
what was found is deflated, and fresh random blocks look for the rest until they find nothing. Every eigenvalue has
its residual and an error bound that covers residual and rounding: the matrix has an eigenvalue within that
distance. A sign is claimed only beyond the bound. Smallest means algebraically smallest, the most negative. Up to
P = 1000, and where the matrix is assembled anyway, eigenvalues come from a dense solver instead.

All is said of the whole matrix, or with --modulo-symmetries of its restriction to the complement of the symmetry
directions of the model (in which it does not change), and by its name.

--counts tells how many eigenvalues are negative, zero and positive, of both: exactly, by inertia, while the matrix
fits --memory (8 P^2 bytes, twice; P = 27000 in 12 GB) and P <= --dense-limit, else of the restriction, from the
smallest eigenvalues. --density is stochastic Lanczos quadrature with error bars, --norms the norms of all blocks and
traces. --operator all does the same for the parts of H = G + R, G = J^T H_l J (J^T J for
squared loss): negative curvature comes from R alone.
--full assembles the matrix and finds all eigenvalues (16 P^2 bytes, 36 P^2 with eigenvectors).

With --resume every product goes to RESULT.h5.journal (8 P bytes each); a run that was killed and is started again with
the same command goes on from there and ends with the same bits.
)",
    R"(  basin-problem teacher -o problem.h5
  basin-hessian problem.h5 -o hessian.h5 --largest 3 --smallest 3 --counts --density --norms --operator all
)"};

/// The setup with some blocks of it trained: the Hessian of that is the diagonal block.
void restrict_to_block(const Command& command, Setup& setup) {
  const auto block = command.get<std::string>("block");
  try {
    const std::vector<std::string> names =
        listed_blocks(block, blocks(setup.architecture()), setup.checkpoint.get());
    for (const std::string& name : names)
      if (!setup.parameters().find(name).trainable())
        throw InputError(name + " is not trained; expected some of the trained blocks, " +
                         shortened(setup.trainable(), 60));
    setup.point = setup.point.with_trainable(names);
  } catch (const InputError& error) {
    throw InputError("--block " + block + ": " + error.what());
  }
}

/// What makes a run what it is.
Specification specification_of(const Command& command, const Setup& setup) {
  const hdf5::Provenance p = command.provenance(setup.input, setup.input_sha256);
  Specification s = {{"program", p.program + " " + p.version},
                     {"problem", p.input_sha256},
                     {"weights", setup.weights_origin}};
  const Specification options = command.identity();
  s.insert(s.end(), options.begin(), options.end());
  return s;
}

std::unique_ptr<ProductJournal> open_journal(const Command& command, const Specification& specification) {
  const std::string path = journal_of(command.output());
  if (command.get<bool>("resume")) return std::make_unique<ProductJournal>(path, specification);
  if (access(path.c_str(), F_OK) == 0)
    throw InputError(path + ": an unfinished run has left its journal; go on with --resume, or delete it");
  return nullptr;
}

/// Keeps the products of operators in the journal, if there is one.
StandIn recorded_in(ProductJournal* journal) {
  if (journal == nullptr) return {};
  return [journal](const SelfAdjointOperator& A, std::uint64_t number) {
    return std::make_unique<const RecordedOperator>(A, *journal, number);
  };
}

/// Those that are set aside or counted; nothing where they are not asked for.
std::unique_ptr<const Symmetries> symmetries_for(const SpectrumRequest& request, const Setup& setup) {
  if (!request.counts && !request.restricted) return nullptr;
  const Index P = setup.point.theta_size();
  auto symmetries = std::make_unique<const Symmetries>(setup.theory->symmetries(setup.point));
  if (request.restricted && symmetries->modes() >= P)
    throw InputError("--modulo-symmetries: all " + std::to_string(P) + " directions are symmetries");
  return symmetries;
}

std::vector<BlockRange> trained_ranges(const ParameterLayout& parameters) {
  std::vector<BlockRange> ranges;
  for (const auto& e : parameters.entries())
    if (e.trainable()) ranges.push_back({e.block.name, e.theta_offset, e.block.size()});
  return ranges;
}

/// What was asked for, of one of the matrices.
SpectrumResults analyse(const Command& command, const SpectrumRequest& request, const SpectrumPlan& plan,
                        const MeasuredHessianParts& parts, HessianPart part, const Symmetries* symmetries,
                        const Linearization<double>& at) {
  const FarthestPerturbed farthest = parts.farthest(part);
  SpectrumSubject of = {
      .A = parts.get(part), .perturbed = &farthest, .blocks = trained_ranges(at.parameters())};
  if (symmetries != nullptr) {
    of.remove = [symmetries](VectorsRef<double> V) { symmetries->remove(V); };
    of.modes = symmetries->modes();
  }
  SpectrumResults results;
  results.matrix = to_string(part);
  if (command.given("block")) results.block = command.get<std::string>("block");
  results.gauss_newton = at.loss_facts().quadratic ? "J^T J" : "J^T H_l J";
  results.convex = at.loss_facts().convex;
  const std::string title = matrix_title(results, request.restricted ? of.modes : 0);
  const SpectrumReports reports = {
      [&](const std::string& line) { command.message(title + ": " + line); },
      [&](const std::string& work) { return command.progress(title + ", " + work); }};
  static_cast<SpectrumAnalysis&>(results) = analyse_spectrum(of, request, plan, reports);
  return results;
}

/// The verdict on the first of the matrices, and what is known of each.
void say_and_write(Command& command, hdf5::Writer& file, const std::vector<SpectrumResults>& all,
                   const Symmetries* symmetries, const Stationarity& point, const WrittenVectors& vectors) {
  const SpectrumResults& first = all.front();
  command.say(curvature_verdict(first, &point));
  command.verdict("no-negative-curvature", first.has_no_negative());
  command.verdict("converged", std::all_of(all.begin(), all.end(),
                                           [](const SpectrumResults& r) { return r.all_converged(); }));
  if (symmetries != nullptr) command.say(text(*symmetries));
  for (const SpectrumResults& r : all) {
    if (&r != &first) command.say("-- " + curvature_verdict(r));
    say_results(command, r);
    write_results(file, &r == &first ? "/entry" : "/entry/parts/" + r.matrix, r, vectors);
  }
}

void body(Command& command) {
  add_spectrum_options(command);
  if (!command.parse()) return;
  const auto [request, matrices] = read_spectrum_request(command);
  RunOutput output(command, command.output(), "/entry/provenance");
  Setup setup = read_setup_at(command);
  if (command.given("block")) restrict_to_block(command, setup);
  check_numbers(command, setup.point.theta_size());
  const SpectrumPlan plan = spectrum_plan(command, request, setup.point.theta_size());
  const Specification specification = specification_of(command, setup);
  output.check(specification);
  const std::unique_ptr<ProductJournal> journal = open_journal(command, specification);
  if (output.finished()) {
    journal->remove();
    return command.message(output.path() + " is finished");
  }

  const auto left = static_cast<std::size_t>(static_cast<double>(command.memory()) - plan.bytes());
  const Linearization<double> at = setup.point.linearize({.memory = left});
  const MeasuredHessianParts parts(at, setup.theory->product_underflow(at), recorded_in(journal.get()));
  const std::unique_ptr<const Symmetries> symmetries = symmetries_for(request, setup);
  std::vector<SpectrumResults> all;
  for (const HessianPart part : matrices)
    all.push_back(analyse(command, request, plan, parts, part, symmetries.get(), at));
  const Stationarity point =
      stationarity_at(at, *setup.theory, parts.get(HessianPart::gauss_newton), command.seed());

  hdf5::Writer file(output.path(), output.may_replace());
  const NamedVectors names(setup);
  say_and_write(command, file, all, symmetries.get(), point,
                {request.with_vectors, command.get<bool>("by-tensor") ? &names : nullptr});
  if (symmetries) write_symmetries(file, *symmetries, setup.theory->generic_modes(setup.point));
  write_point(file, all.front(), point);
  if (journal && journal->replayed() > 0)
    command.message(std::to_string(journal->replayed()) + " products were in the journal, " +
                    std::to_string(journal->computed()) + " were computed");
  if (at.kinks() > 0) command.say(kinks_text(at.kinks()));
  command.say("at loss f = " + with_error(point.loss, point.loss_error) +
              ", |grad f| = " + with_error(point.gradient, point.gradient_error));
  command.say(setup.text());
  write_frame(file, command, setup, kIntroduction.name,
              "Spectrum of the " + matrix_title(all.front(), all.front().removed), picture_of(all.front()));
  write_specification(file, "/entry/provenance", specification);
  file.commit();
  if (journal) journal->remove();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(kIntroduction, argc, argv, body);
}
