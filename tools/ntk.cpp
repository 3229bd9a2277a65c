/// basin-ntk: eigenvalues of the neural tangent kernel, block by block.
#include "ntk/spectra.h"

#include "common/setup.h"
#include "linalg/errors.h"

using namespace basin;
using namespace basin::tools;

namespace {

const Introduction kIntroduction = {
    "basin-ntk", "eigenvalues of the neural tangent kernel of each block and of their sum",
    "PROBLEM.h5 -o RESULT.h5 [options]",
    R"(The kernel of a block B is K_B = J_B J_B^T (m x m, m = N n D_out), J_B the Jacobian of all outputs in the block.
If the smallest eigenvalue of the sum over the trained blocks is positive along the way, gradient descent
converges to a global minimum at a linear rate. Eigenvalues are computed as squares of singular values of J,
dense and exact, so they are never negative; each has bounds. A kernel is called positive definite only when its
smallest singular value exceeds its error bound; otherwise its rank and an upper bound are reported.
Memory: 8 m P bytes and more; what does not fit in --memory is refused, with what it would need.
)",
    R"(  basin-problem teacher -o problem.h5 -N 8 -n 4 -D 64
  basin-ntk problem.h5 -o ntk.h5 --kernel gaussian
)"};

std::string verdict(const NtkSpectrum& s) {
  const Index last = s.size() - 1;
  if (s.positive_definite())
    return "positive definite: lambda_min = " + number(s.lambda_min(), 10) + " +- " +
           number(s.upper(last) - s.lambda_min(), 2) + ", lambda_max = " + number(s.lambda_max(), 10) +
           ", condition number " + number(s.condition_number(), 4);
  return "singular" +
         (s.parameters < s.size() ? ", having only " + std::to_string(s.parameters) + " parameters"
                                  : " to rounding") +
         ": rank " + std::to_string(s.rank()) + " of " + std::to_string(s.size()) +
         ", lambda_min <= " + number(s.upper(last), 3) + ", lambda_max = " + number(s.lambda_max(), 10);
}

void write_spectrum(hdf5::Writer& file, const NtkSpectrum& s, const std::vector<double>& index) {
  const std::string group = "/entry/ntk_" + s.name;
  std::vector<double> value, lower, upper;
  for (Index i = 0; i < s.size(); ++i) {
    value.push_back(s.eigenvalue(i));
    lower.push_back(s.lower(i));
    upper.push_back(s.upper(i));
  }
  hdf5::make_plot(file, group, "eigenvalue", {"index"});
  hdf5::logarithmic_curve(file, group);
  file.attribute(group, "auxiliary_signals", std::vector<std::string>{"lower", "upper"});
  file.write(group + "/eigenvalue", value);
  file.write(group + "/lower", lower);
  file.write(group + "/upper", upper);
  file.write(group + "/index", index);
  file.write(group + "/singular_value", s.singular_values);
  file.write(group + "/singular_value_error", s.singular_value_error);
  file.write(group + "/title",
             "NTK eigenvalues, " + (s.name == "sum" ? "sum of the trained blocks" : s.name));
}

void write_results(hdf5::Writer& file, const std::vector<NtkSpectrum>& spectra) {
  std::vector<double> index(spectra.front().size());
  for (std::size_t i = 0; i < index.size(); ++i) index[i] = static_cast<double>(i + 1);
  hdf5::make_plot(file, "/entry/ntk", "sum", {"index"});
  hdf5::logarithmic_curve(file, "/entry/ntk");
  std::vector<std::string> names;
  std::vector<double> min, min_lower, min_upper, max, condition;
  std::vector<std::int64_t> rank, size, parameters;
  std::vector<std::uint8_t> definite;
  for (const NtkSpectrum& s : spectra) {
    write_spectrum(file, s, index);
    file.hard_link("/entry/ntk_" + s.name + "/eigenvalue", "/entry/ntk/" + s.name);
    names.push_back(s.name);
    min.push_back(s.lambda_min());
    min_lower.push_back(s.lower(s.size() - 1));
    min_upper.push_back(s.upper(s.size() - 1));
    max.push_back(s.lambda_max());
    condition.push_back(s.condition_number());
    rank.push_back(s.rank());
    size.push_back(s.size());
    parameters.push_back(s.parameters);
    definite.push_back(s.positive_definite() ? 1 : 0);
  }
  file.write("/entry/ntk/index", index);
  file.attribute("/entry/ntk", "auxiliary_signals", std::vector<std::string>(names.begin(), names.end() - 1));
  file.write("/entry/ntk/title", std::string("NTK eigenvalues of the trained blocks and of their sum"));
  file.group("/entry/summary", "NXcollection");
  const hdf5::Extent rows = {static_cast<Index>(names.size())};
  file.write("/entry/summary/block", names, rows);
  file.write("/entry/summary/lambda_min", min);
  file.write("/entry/summary/lambda_min_lower", min_lower);
  file.write("/entry/summary/lambda_min_upper", min_upper);
  file.write("/entry/summary/lambda_max", max);
  file.write("/entry/summary/condition_number", condition);
  file.write("/entry/summary/rank", rank);
  file.write("/entry/summary/size", size);
  file.write("/entry/summary/parameters", parameters);
  file.write_bytes("/entry/summary/positive_definite", definite, rows);
}

void body(Command& command) {
  add_model_options(command);
  command.add_memory_option();
  if (!command.parse()) return;
  const Setup setup = read_setup(command);
  const Index m = setup.data->Y.size();
  const double needed = ntk_bytes(setup.parameters(), m, setup.data->samples);
  if (needed > static_cast<double>(command.memory()))
    throw InputError("the dense kernel with m = " + std::to_string(m) +
                     " outputs and P = " + std::to_string(setup.description.parameters) +
                     " parameters needs " + bytes_text(needed) + ", --memory allows " +
                     bytes_text(static_cast<double>(command.memory())) +
                     ": fewer samples, fewer trained blocks, or more memory");
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  // The Jacobian is computed sample by sample: nothing needs to be kept for products.
  const Linearization<double> at = setup.linearize(0);
  Vectors<double> Jt = at.jacobian_transposed(command.progress("Jacobian, samples"));
  const std::vector<double> rounding =
      jacobian_rounding(Jt, setup.linearize_twin(), command.progress("rounding of the Jacobian, samples"));
  command.message("singular values of " + std::to_string(Jt.rows()) + " x " + std::to_string(m) + " ...");
  const std::vector<NtkSpectrum> spectra = ntk_spectra(Jt, setup.parameters(), rounding);

  command.say("NTK of the trained blocks is " + verdict(spectra.back()));
  for (std::size_t b = 0; b + 1 < spectra.size(); ++b)
    command.say("  " + spectra[b].name + " alone: " + verdict(spectra[b]));
  command.say(setup.text());
  write_results(file, spectra);
  write_frame(file, command, setup, kIntroduction.name, "Neural tangent kernel spectra", "ntk");
  file.commit();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(kIntroduction, argc, argv, body);
}
