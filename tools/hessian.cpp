/// basin-hessian: the spectrum of the Hessian of the loss, of its Gauss-Newton and residual parts, and of
/// their blocks.
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "basin/linalg/errors.h"
#include "basin/problem/encoding.h"
#include "common/command/given_weights.h"
#include "common/command/run.h"
#include "common/command/run_output.h"
#include "common/command/setup.h"
#include "common/spectrum/analyses.h"
#include "common/spectrum/file.h"
#include "common/spectrum/options.h"
#include "common/spectrum/summary.h"

using namespace basin;
using namespace basin::tools;

namespace {

const Introduction kIntroduction = {
    "basin-hessian",
    "the spectrum of the Hessian of the loss: ends, counts, density, and where it comes from",
    "PROBLEM.h5 -o RESULT.h5 [--largest K] [--smallest K] [--counts] [--density] [--norms] [--full] "
    "[--per-block [PATTERN ...]] [options]",
    R"(Eigenpairs come from exact Hessian-vector products by restarted Lanczos (Spectra), with their multiplicities:
what was found is deflated, and fresh random blocks look for the rest until they find nothing. Every eigenvalue has
its residual and an error bound that covers residual and rounding: the matrix has an eigenvalue within that
distance. A sign is claimed only beyond the bound. Smallest means algebraically smallest, the most negative. Up to
P = 1000, and where the matrix is assembled anyway, eigenvalues come from a dense solver instead.

All is said of the whole matrix, or with --modulo-symmetries of its restriction to the complement of the symmetry
directions of the model (in which it does not change), and by its name.

--counts tells how many eigenvalues are negative, zero and positive, of both; modulo symmetries at the balanced point,
which is the same function and one for all equivalent weights. Exactly, by inertia, while the matrix
fits --memory (8 P^2 bytes, twice; P = 27000 in 12 GB) and P <= --dense-limit, else of the restriction, from the
smallest eigenvalues. --density is stochastic Lanczos quadrature with error bars, --norms the norms of all blocks and
traces. --operator all does the same for the parts of H = G + R, G = J^T H_l J (J^T J for
squared loss): negative curvature comes from R alone.
--per-block does it matrix by matrix: for each trained block (or those that fit the patterns; each head, with --by-head;
each tensor of the checkpoint, with --by-tensor) both ends, trace and Frobenius norm, and with --density the share
below 0 and how different the blocks are. A product costs what lies between the block and the loss.
--full assembles the matrix and finds all eigenvalues (16 P^2 bytes, 36 P^2 with eigenvectors).

With --resume every product goes to RESULT.h5.journal (8 P bytes each); a run that was killed and is started again with
the same command goes on from there and ends with the same bits.
)",
    R"(  basin-problem teacher -o problem.h5
  basin-hessian problem.h5 -o hessian.h5 --largest 3 --smallest 3 --counts --density --norms --operator all
  basin-hessian problem.h5 -o blocks.h5 --per-block --density
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

/// Of the whole matrix, beside what is asked of its blocks.
SpectrumRequest norms_alone(SpectrumRequest request) {
  request.smallest = request.largest = 0;
  request.density = request.counts = request.restricted = request.with_vectors = false;
  return request;
}

void say_verdict(Command& command, const WholeAnalysis& whole, const std::vector<PerBlock>& by_block) {
  command.say(by_block.empty() ? curvature_verdict(whole.matrices.front(), &whole.point)
                               : per_block_verdict(by_block.front(), &whole.point));
  bool converged = true, none_negative = true;
  for (const SpectrumResults& r : whole.matrices) converged = converged && r.all_converged();
  for (const PerBlock& matrix : by_block)
    for (const SpectrumResults& r : matrix.results) converged = converged && r.all_converged();
  if (by_block.empty())
    none_negative = whole.matrices.front().has_no_negative();
  else
    for (const SpectrumResults& r : by_block.front().results)
      none_negative = none_negative && r.has_no_negative();
  command.verdict("no-negative-curvature", none_negative);
  command.verdict("converged", converged);
}

/// What is known of each of the matrices. length: |theta|.
void say_and_write(Command& command, hdf5::Writer& file, const WholeAnalysis& whole, double length,
                   const std::vector<PerBlock>& by_block, const WrittenVectors& vectors) {
  const auto prefix = [](bool first, const SpectrumResults& of) {
    return first ? "/entry" : "/entry/parts/" + of.matrix;
  };
  for (const PerBlock& matrix : by_block) {
    const bool first = &matrix == &by_block.front();
    if (!first) command.say("-- " + per_block_verdict(matrix));
    say_per_block(command, matrix);
    write_per_block(file, prefix(first, matrix.results.front()), matrix, vectors.arrays);
  }
  if (whole.symmetries) command.say(text(*whole.symmetries));
  if (!whole.pseudo.empty()) command.say(text(whole.pseudo));
  if (whole.balanced) command.say(text(*whole.balanced, length));
  for (const SpectrumResults& r : whole.matrices) {
    const bool first = &r == &whole.matrices.front();
    if (!first || !by_block.empty()) command.say("-- " + curvature_verdict(r));
    say_results(command, r);
    write_results(file, prefix(first, r), r, vectors);
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
  const std::vector<DiagonalPart> parts =
      command.given("per-block") ? diagonal_parts(command, setup) : std::vector<DiagonalPart>();
  const SpectrumRequest of_whole = parts.empty() ? request : norms_alone(request);
  static_cast<void>(spectrum_plan(command, of_whole, setup.point.theta_size()));  // refuses what does not fit
  for (const DiagonalPart& part : parts) static_cast<void>(plan_of_part(command, request, part));
  const Specification specification = specification_of(command, setup);
  output.check(specification);
  const std::unique_ptr<ProductJournal> journal = open_journal(command, specification);
  if (output.finished()) {
    journal->remove();
    return command.message(output.path() + " is finished");
  }

  const bool whole_asked = parts.empty() || request.norms;
  const WholeAnalysis whole = analyse_whole(
      command, of_whole, whole_asked ? matrices : std::vector<HessianPart>(), setup, journal.get());
  std::vector<PerBlock> by_block;
  if (!parts.empty()) by_block = analyse_parts(command, request, matrices, setup, parts, journal.get());

  hdf5::Writer file(output.path(), output.may_replace());
  const NamedVectors names(setup);
  say_verdict(command, whole, by_block);
  say_and_write(command, file, whole, setup.point.theta().stableNorm(), by_block,
                {request.with_vectors, command.get<bool>("by-tensor") ? &names : nullptr});
  if (whole.symmetries) write_symmetries(file, *whole.symmetries, setup.theory->generic_modes(setup.point));
  if (whole.symmetries) write_pseudo(file, whole.pseudo);
  if (whole.balanced) write_balanced(file, *whole.balanced);
  SpectrumResults first = by_block.empty() ? whole.matrices.front() : by_block.front().results.front();
  if (!by_block.empty()) first.block.clear();
  write_point(file, first, whole.point);
  if (journal && journal->replayed() > 0)
    command.message(std::to_string(journal->replayed()) + " products were in the journal, " +
                    std::to_string(journal->computed()) + " were computed");
  if (whole.kinks > 0) command.say(kinks_text(whole.kinks));
  command.say("at loss f = " + with_error(whole.point.loss, whole.point.loss_error) +
              ", |grad f| = " + with_error(whole.point.gradient, whole.point.gradient_error));
  command.say(setup.text());
  const std::string matrix = matrix_title(first, first.removed);
  write_frame(file, command, setup, kIntroduction.name,
              (by_block.empty() ? "Spectrum of the " : "Spectra of the blocks of the ") + matrix,
              by_block.empty() ? picture_of(first) : "per_block");
  write_specification(file, "/entry/provenance", specification);
  file.commit();
  if (journal) journal->remove();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(kIntroduction, argc, argv, body);
}
