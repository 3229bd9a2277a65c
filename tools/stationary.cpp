/// basin-stationary: where descent ends, and what that point is.
#include <algorithm>

#include "basin/curvature/symmetries.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/model/row_copies.h"
#include "common/catalogue/merge.h"
#include "common/catalogue/search_options.h"
#include "common/catalogue/summary.h"
#include "common/catalogue/text.h"
#include "common/command/run.h"
#include "common/command/run_output.h"
#include "common/command/shares.h"
#include "common/descent/options.h"

using namespace basin;
using namespace basin::tools;

namespace {

const std::string kName = "basin-stationary";

const Introduction kIntroduction = {
    kName, "where descent ends from many starts, and what these points are",
    "PROBLEM.h5 -o CATALOGUE.h5 [--starts K] [--from FILE] [--at FILE] [--search WHAT] [options]\n"
    "       basin-stationary merge A.h5 B.h5 ... -o CATALOGUE.h5",
    R"(From every start the loss is descended, then the point is polished by Newton steps to a gradient at rounding level,
and judged: global minimum, suboptimal strict local minimum, saddle with its index, degenerate, or a valley to
infinity (under cross-entropy also the global valley, along which the loss falls to its infimum); the Hessian is counted modulo the symmetries of the model. Points that are the same modulo symmetry are one
entry of the catalogue.

Start k draws the trained blocks with --init and --gain from a seed of its own, which depends on --seed and k alone;
the blocks that are held fixed are those of the file (or drawn once from --seed, if it has none). So both kernels
have the same starts. The default method is gradient descent (gd) in steps so short that it ends where the gradient flow
does: loss and gradient change over each as they do along the flow (--step flow). Where it has not converged after
--steps, trust-region Newton goes on in short steps, which do not raise the loss. A saddle that is met is left along
its negative curvature, and descended from.

--search saddles lowers |grad f|^2 instead (L-BFGS) and finds stationary points of any index; both does both.
--at FILE judges given weights: of a problem file, or FILE:DATASET, the rows of a dataset of all weights in order (say
CATALOGUE.h5:/entry/entries/weights), or FILE:DATASET:ROW, one of them. --from descends from given starts: the same, or
rows of the trained blocks alone. Without --starts nothing else is done. --escape FILE writes the problem at a
step from entry --entry (default: the first saddle) in the direction in which the loss falls, and follows it.

Finished starts are kept in OUTPUT.journal; a run that was stopped or killed goes on with --resume, to the same result.
merge joins catalogues of the same problem and options from different seeds.
)",
    R"(  basin-problem construct softmax-trap -o trap.h5
  basin-stationary trap.h5 -o catalogue.h5 --train W_Q --starts 20 --at trap.h5
)"};

/// A catalogue in the making.
class Search {
 public:
  Search(Command& command, const Setup& setup, SearchRequest request, RunOutput output,
         std::optional<RunOutput> escape)
      : command_(command),
        setup_(setup),
        request_(std::move(request)),
        output_(std::move(output)),
        escape_file_(std::move(escape)) {
    data_.specification = shared_specification(command, setup);
    require_representable(setup.point.target_size(), setup.input + ": ");
    data_.known = minimum_for(command, setup);
    data_.bound = least_loss_of_labels(setup.point);
    data_.sources = request_.sources;
    data_.shape = record_shape(request_.loss);
    request_.search.stopping = stopping_of(command, setup, request_);
    around_ = along_flow(request_.search);
    check_memory();
  }

  /// Looks from all starts, and judges the ends beside each other.
  void go() {
    specification_ = whole_specification(command_, setup_, request_);
    output_.check(specification_);
    if (escape_file_) escape_file_->check(specification_);
    Journal journal(journal_of(output_.path()), specification_, data_.shape.size(),
                    command_.get<bool>("resume"));
    if (output_.finished()) {
      journal.remove();
      command_.message(output_.path() + " is finished");
      return;
    }
    search_all(journal);
    use_convexity(request_.loss, data_);
    use_bound(data_);
    catalogue_ = make_catalogue(data_);
    check_returns(request_.loss, around_, request_.returns, catalogue_, data_, command_.progress("returns"));
    const std::string refusal = escape_file_ ? leave() : "";
    catalogue_ = make_catalogue(data_);  // what was reached on the way may be the global minimum
    write();
    journal.remove();
    if (!refusal.empty()) throw InputError(refusal + "; the catalogue is in " + output_.path());
  }

 private:
  void check_memory() const {
    const auto allowed = static_cast<double>(command_.memory());
    const auto tasks = static_cast<double>(tasks_of(request_.starts).size());
    const double rows = 8.0 * static_cast<double>(data_.shape.size()) * tasks,
                 dense = dense_search_bytes(data_.shape.parameters, request_.search.dense_limit);
    if (rows > allowed)
      throw InputError("the rows of the catalogue need " + bytes_text(rows) + ", --memory allows " +
                       bytes_text(allowed));
    if (dense > allowed)
      throw InputError("dense Hessians need " + bytes_text(dense) + ", --memory allows " +
                       bytes_text(allowed) + "; a smaller --dense-limit or less --threads need less");
  }

  /// From all starts that are not in the journal, which gets them.
  void search_all(Journal& journal) {
    const auto& records = journal.records();
    const auto count = static_cast<Index>(tasks_of(request_.starts).size());
    if (const auto kept = std::distance(records.lower_bound(0), records.lower_bound(count)); kept > 0)
      command_.message(std::to_string(kept) + " starts are in the journal");
    const KeptRecords kept = {[&](Index task) -> std::optional<StartRecord> {
                                const auto done = records.find(task);
                                if (done == records.end()) return std::nullopt;
                                return from_flat(done->second, data_.shape);
                              },
                              [&](Index task, const StartRecord& r) { journal.append(task, flat(r)); }};
    data_.starts =
        search_from_all(request_.loss, request_.starts, request_.search, kept, command_.progress("starts"));
  }

  /// The entry to leave, or why there is none.
  std::optional<std::size_t> entry_to_leave(std::string& refusal) const;
  /// Writes the problem at a step from a saddle, and follows it; says why if there is none.
  std::string leave();
  void write();

  const StartRecord& first_of(std::size_t entry) const {
    return data_.starts[catalogue_.entries[entry].shown];
  }

  struct Escaped {
    std::size_t entry;
    FollowedEscape followed;
  };

  Command& command_;
  const Setup& setup_;
  SearchRequest request_;
  RunOutput output_;
  std::optional<RunOutput> escape_file_;
  SearchOptions around_;  ///< from points that no option speaks of
  Specification specification_;
  CatalogueData data_;
  Catalogue catalogue_;
  std::optional<Escaped> escaped_;
};

std::optional<std::size_t> Search::entry_to_leave(std::string& refusal) const {
  const std::size_t count = catalogue_.entries.size();
  const auto is_saddle = [&](std::size_t entry) { return first_of(entry).escape_fall < 0; };
  if (!command_.given("entry")) {
    for (std::size_t entry = 0; entry < count; ++entry)
      if (is_saddle(entry)) return entry;
    refusal = "--escape: there is no saddle to leave";
    return std::nullopt;
  }
  const auto entry = command_.get<Index>("entry");
  if (entry < 0 || entry >= static_cast<Index>(count))
    refusal = "--entry " + std::to_string(entry) + ": found " + std::to_string(count) + " entries";
  else if (!is_saddle(static_cast<std::size_t>(entry)))
    refusal =
        "--entry " + std::to_string(entry) + ": is no saddle, no direction is known in which the loss falls";
  else
    return static_cast<std::size_t>(entry);
  return std::nullopt;
}

std::string Search::leave() {
  std::string refusal;
  const auto entry = entry_to_leave(refusal);
  if (!entry) return refusal;
  escaped_ = Escaped{*entry, follow_escape(request_.loss, first_of(*entry), around_)};
  if (escaped_->followed.end.kind == PointKind::zero_loss)
    note_zero(catalogue_, "reached by descent from entry " + std::to_string(*entry), data_);
  hdf5::Writer problem_file(escape_file_->path(), escape_file_->may_replace());
  write_problem_at(problem_file, command_.provenance(setup_.input, setup_.input_sha256), setup_,
                   escaped_->followed.weights);
  write_specification(problem_file, "/provenance", specification_);
  problem_file.commit();
  return "";
}

void Search::write() {
  say_catalogue(command_, data_, catalogue_);
  if (const std::string text = contradictions_text(setup_); !text.empty()) command_.say(text);
  command_.verdict("global", std::all_of(catalogue_.verdicts.begin(), catalogue_.verdicts.end(),
                                         [](Verdict v) { return v == Verdict::global_minimum; }));
  hdf5::Writer file(output_.path(), output_.may_replace());
  if (escaped_) {
    const auto& [entry, followed] = *escaped_;
    command_.say(escape_text(entry, first_of(entry), followed));
    write_escape(file, entry, first_of(entry), followed);
  }
  const Symmetries symmetries = setup_.theory->symmetries(setup_.point);
  if (!symmetries.left_out().empty())
    command_.say("symmetries left out: " + symmetries.left_out() + "; zero modes may be theirs");
  command_.say(setup_.text());
  write_catalogue(file, data_, catalogue_);
  file.write("/entry/catalogue/left_out", symmetries.left_out());
  write_frame(file, command_, setup_, kName, "Stationary points", "losses");
  write_specification(file, "/entry/provenance", specification_);
  file.commit();
}

void body(Command& command) {
  add_search_options(command);
  command.add_assert_option({{"global", "every start, and the given point, is a global minimum"}});
  add_descent_options(command, {"gd", 2000, 1e-6});
  add_model_options(command, Draws::starts);
  command.add_memory_option();
  if (!command.parse()) return;
  RunOutput output(command, command.output(), "/entry/provenance");
  std::optional<RunOutput> escape;
  if (command.given("escape"))
    escape.emplace(command, command.get<std::string>("escape"), "/provenance");
  else if (command.given("entry"))
    throw InputError("--entry: without effect unless with --escape");
  const Setup setup = read_setup(command, Draws::starts);
  if (setup.weights_origin == "from the problem file")
    for (const auto& [block, gain] : parse_gains(command.get<std::vector<std::string>>("gain")))
      if (const auto& entry = setup.parameters().find(block); !entry.trainable())
        throw InputError("--gain " + block + "=" + number(gain) + ": " + block +
                         " is held fixed at the weights of the file");
  Search(command, setup, read_search_request(command, setup), std::move(output), std::move(escape)).go();
}

void merge(int argc, const char* const* argv) {
  Command command(
      {kName + " merge", "joins catalogues of the same problem", "A.h5 B.h5 ... -o CATALOGUE.h5",
       "The catalogues must be of one problem, model and choice of options, from other seeds. Points are\n"
       "matched again and verdicts taken anew, beside the lowest loss of all.\n",
       "  basin-stationary merge seed1.h5 seed2.h5 -o catalogue.h5\n"},
      argc, argv, 2);
  const std::vector<std::string> paths = files_to_join(command, "catalogues", "CATALOGUE.h5");
  if (paths.empty()) return;
  CatalogueData whole = read_catalogue(hdf5::Reader(paths[0]));
  for (std::size_t p = 1; p < paths.size(); ++p)
    join(whole, read_catalogue(hdf5::Reader(paths[p])), paths[p], paths[0]);
  const Catalogue catalogue = make_catalogue(whole);
  say_catalogue(command, whole, catalogue);
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  write_catalogue(file, whole, catalogue);
  hdf5::write_entry(file, kName, "Stationary points", "losses");
  file.write("/entry/verdict", command.summary());
  hdf5::write_provenance(file, "/entry/provenance", command.provenance());
  file.copy(hdf5::Reader(paths[0]), "/entry/model");
  file.commit();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "merge") return run(kName, [&] { merge(argc, argv); });
  return run_tool(kIntroduction, argc, argv, body);
}
