#include "common/descent/file.h"

#include <cstdint>
#include <string>
#include <utility>

#include "common/descent/records.h"

namespace basin::tools {
namespace {

std::string outcome(const DescentStatus& status) {
  if (status.converged()) return "converged";
  switch (status.reason) {
    case DescentStatus::Reason::not_finite:
      return "not finite";
    case DescentStatus::Reason::stalled:
      return "stalled";
    default:
      return "not converged";
  }
}

void write_steps(hdf5::Writer& file, const StepsTaken& t) {
  file.group("/entry/steps", "NXcollection");
  file.write("/entry/steps/shortened", static_cast<std::int64_t>(t.shortened));
  for (const auto& [name, value] : {std::pair{"first", t.first},
                                    {"first_share", t.first_share},
                                    {"smallest", t.smallest},
                                    {"largest", t.largest},
                                    {"largest_share", t.largest_share}})
    file.write(std::string("/entry/steps/") + name, value);
}

}  // namespace

void write_training(hdf5::Writer& file, const Training& training) {
  const RunAccount& account = training.descent.account;
  if (training.certify) file.group("/entry/certificate", "NXcollection");
  write_records(file, training.names, training.rows);
  file.write("/entry/status", outcome(training.status));
  file.write("/entry/guaranteed_steps", static_cast<std::int64_t>(account.guaranteed));
  file.write("/entry/broken_guarantees", static_cast<std::int64_t>(account.broken));
  write_steps(file, training.descent.run.taken);
  if (training.certify)
    file.write("/entry/certificate/first_step", static_cast<std::int64_t>(account.certified));
}

void write_trajectory(hdf5::Writer& file, const Setup& setup,
                      const std::map<Index, std::vector<double>>& trajectory) {
  file.group("/trajectory");
  for (const auto& [name, size] : setup.sizes())
    file.attribute("/trajectory", name, static_cast<std::int64_t>(size));
  std::vector<std::int64_t> steps;
  std::vector<double> theta;
  for (const auto& [step, weights] : trajectory) {
    steps.push_back(step);
    theta.insert(theta.end(), weights.begin(), weights.end());
  }
  file.write("/trajectory/step", steps);
  file.write("/trajectory/theta", theta.data(),
             {static_cast<Index>(steps.size()), setup.point.weights.size()});
}

}  // namespace basin::tools
