#include "common/command/command.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <optional>
#include <sstream>

#include "basin/linalg/errors.h"
#include "basin/linalg/lapack.h"
#include "basin/linalg/memory.h"
#include "basin/problem/encoding.h"
#include "common/command/files.h"
#include "common/command/typed.h"
#include "common/command/words.h"
#include "common/version.h"

namespace basin::tools {
namespace {

constexpr int kMostThreads = 4096;

bool has_memory_option = false;  ///< of the tool that runs

std::string utc_now() {
  const std::time_t time = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&time, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

/// "200M" -> 2e8
std::size_t parse_bytes(const std::string& text) {
  const std::size_t power =
      text.empty() ? std::string::npos : std::string("kMGT").find(text.back() == 'K' ? 'k' : text.back());
  const bool has_unit = power != std::string::npos;
  const auto value = parse_number(has_unit ? text.substr(0, text.size() - 1) : text);
  const double bytes = value.value_or(-1) * (has_unit ? std::pow(1000.0, static_cast<double>(power) + 1) : 1);
  if (!(bytes >= 0) || bytes > 1e18)
    throw InputError("--memory " + text + ": expected a size such as 200M, 1.5G or 0");
  return static_cast<std::size_t>(bytes);
}

/// Not the names that are numbers for Boost: "nan" and "inf".
void check_numbers(const po::variables_map& values) {
  for (const auto& [name, value] : values)
    if (const auto* number_given = boost::any_cast<double>(&value.value());
        number_given && !std::isfinite(*number_given))
      throw InputError("--" + name + " " + number(*number_given) + ": expected a finite number");
}

/// OMP_NUM_THREADS is held to the same limits as --threads, before any thread is started. Of a list the first
/// number counts: parallel loops do not nest.
void check_thread_environment() {
  const char* const text = std::getenv("OMP_NUM_THREADS");
  if (text == nullptr || *text == 0) return;
  for (std::string word : split(text, ',')) {
    word.erase(0, word.find_first_not_of(" \t"));
    word.erase(word.find_last_not_of(" \t") + 1);
    const auto threads = parse_index(word);
    if (!threads || *threads < 1 || *threads > kMostThreads)
      throw InputError("OMP_NUM_THREADS=" + std::string(text) + ": expected 1 to " +
                       std::to_string(kMostThreads));
  }
}

}  // namespace

Command::Command(Introduction introduction, int argc, const char* const* argv, int skip)
    : introduction_(std::move(introduction)),
      argc_(argc),
      argv_(argv),
      skip_(skip),
      start_time_(utc_now()),
      start_seconds_(clock_seconds()) {
  const auto declare = [this](Identity identity) {
    return IdentifiedOptions(common_, identities_, identity);
  };
  declare(Identity::none)                                                                         //
      ("output,o", po::value<std::string>()->value_name("FILE"), "the file to write (required)")  //
      ("overwrite", po::bool_switch(), "replace the output file if it exists");
  declare(Identity::run)("seed", po::value<Seed>()->default_value(Seed{})->value_name("S"),
                         "seed of all random numbers");
  declare(Identity::none)  //
      ("threads", po::value<int>()->default_value(0)->value_name("T"),
       "number of threads; 0: OMP_NUM_THREADS if set, or all cores. The results do not depend on it")  //
      (introduction_.options_file, po::value<std::string>()->value_name("FILE"),
       "read options from a file, one 'name = value' a line; the command line wins")     //
      ("quiet,q", po::bool_switch(), "print nothing but errors")                         //
      ("verbose,v", po::bool_switch(), "print version and every resolved option first")  //
      ("help,h", "print this text")("version", "print the version");
}

void Command::add_precision_option() {
  options.add_options()("precision", po::value<std::string>()->default_value("double")->value_name("NAME"),
                        "double (16 digits) or float (7 digits, about twice as fast)");
}

void Command::add_memory_option(Identity identity) {
  has_memory_option = true;
  add_options(identity)("memory", po::value<std::string>()->default_value("auto")->value_name("SIZE"),
                        "most memory for kept intermediate results and dense matrices, e.g. 200M or 4G; "
                        "auto: half of what the machine, ulimit and control groups allow");
}

void Command::add_part_option(const std::string& work) {
  add_options(Identity::run)("part", po::value<std::string>()->default_value("1/1")->value_name("i/k"),
                             ("compute the i-th of k shares of the " + work).c_str());
}

std::pair<Index, Index> Command::part() const {
  const auto text = get<std::string>("part");
  const auto words = split(text, '/');
  const std::optional<Index> i = parse_index(words.front()), k = parse_index(words.back());
  if (words.size() != 2 || !i || !k || *i < 1 || *i > *k)
    throw InputError("--part " + text + ": expected i/k with 1 <= i <= k, e.g. 2/5");
  return {*i - 1, *k};
}

void Command::add_assert_option(const std::vector<std::pair<std::string, std::string>>& verdicts) {
  add_options(Identity::none)("assert", po::value<std::string>()->value_name("VERDICT[,VERDICT]"),
                              assertions_.declare(verdicts).c_str());
}

void Command::check_assertions() const {
  if (given("assert")) assertions_.check(get<std::string>("assert"));
}

void Command::read_configuration() {
  if (values_.count(introduction_.options_file) == 0) return;
  const std::string path = values_[introduction_.options_file].as<std::string>();
  std::istringstream file(unmarked(path, read_bytes(path)));
  if (file.str().empty()) throw InputError(path + ": the configuration file is empty");
  try {
    parsed_.push_back(po::parse_config_file(file, all_));
    po::store(parsed_.back(), values_);
  } catch (const po::error& error) {
    throw InputError(path + ": " + error.what());
  }
}

void Command::set_threads() const {
  const int threads = get<int>("threads");
  if (threads < 0 || threads > kMostThreads)
    throw InputError("--threads " + std::to_string(threads) + ": expected 1 to " +
                     std::to_string(kMostThreads) + ", or 0 for all cores");
  if (threads == 0) check_thread_environment();
  omp_set_max_active_levels(1);
  omp_set_num_threads(std::min(threads > 0 ? threads : omp_get_max_threads(), omp_get_thread_limit()));
}

bool Command::parse() {
  all_.add(options).add(common_);
  namespace style = po::command_line_style;
  const std::vector<std::string> words(argv_ + skip_, argv_ + argc_);
  refuse_dashes(words);
  po::command_line_parser parser(words);
  parser.options(all_).positional(positional).style(style::default_style & ~style::allow_guessing);
  const po::parsed_options parsed = parser.run();

  // Before anything is required.
  for (const auto& option : parsed.options) {
    if (option.string_key == "help") return print_help(), false;
    if (option.string_key == "version") {
      std::cout << introduction_.name << " " << kVersion << " (" << kBuild << ")\n";
      return false;
    }
  }
  po::store(parsed, values_);
  parsed_.push_back(parsed);
  read_configuration();
  po::notify(values_);
  const bool prints = !printing_option_.empty() && get<bool>(printing_option_);
  if (values_.count("output") == 0 && !prints) throw InputError("no output file: give -o FILE");

  check_numbers(values_);
  set_threads();
  for (const auto& [name, value] : values_) resolved_[name] = value_text(value.value());
  resolve("threads", std::to_string(omp_get_max_threads()));
  if (values_.count("precision") > 0) {
    const std::string precision = get<std::string>("precision");
    if (precision != "double" && precision != "float")
      throw InputError("--precision " + precision + ": expected double or float");
  }
  if (values_.count("memory") > 0) {
    const std::string memory = get<std::string>("memory");
    memory_ = memory == "auto" ? static_cast<std::size_t>(available_memory() / 2) : parse_bytes(memory);
    resolve("memory", std::to_string(memory_));
  }
  if (given("assert")) assertions_.named(get<std::string>("assert"));
  check_files({all_, *this, outputs_});
  options_to_print_ = get<bool>("verbose");
  return true;
}

void Command::add_output_option(const std::string& name, const std::string& help) {
  add_options(Identity::none)(name, po::value<std::string>()->value_name("FILE"), help.c_str());
  outputs_.push_back(name);
}

void Command::add_printing_option(const std::string& name, const std::string& help) {
  options.add_options()(name.c_str(), po::bool_switch(), help.c_str());
  printing_option_ = name;
}

Specification Command::identity() const {
  Specification all;
  for (const auto& [name, value] : resolved_)
    if (const auto found = identities_.find(name);
        found == identities_.end() || found->second != Identity::none)
      all.emplace_back(name, value);
  return all;
}

Specification Command::shared_identity() const {
  Specification all;
  for (const auto& [name, value] : resolved_)
    if (const auto found = identities_.find(name);
        found == identities_.end() || found->second == Identity::whole)
      all.emplace_back(name, value);
  return all;
}

OptionValues Command::with(const std::vector<std::pair<std::string, std::string>>& options_given) const {
  po::parsed_options first(&all_);
  for (const auto& [name, value] : options_given) {
    po::option option(name, {value});
    option.original_tokens = {"--" + name, value};
    first.options.push_back(std::move(option));
  }
  po::variables_map values;  // in which what is stored first stays
  po::store(first, values);
  for (const po::parsed_options& parsed : parsed_) po::store(parsed, values);
  check_numbers(values);
  return OptionValues(std::move(values));
}

void Command::print_help() const {
  std::cout << introduction_.name << ": " << introduction_.purpose << "\n\nUsage: " << introduction_.name
            << " " << introduction_.usage << "\n\n"
            << introduction_.details << "\n"
            << options << "\n"
            << common_ << "\nExample:\n"
            << introduction_.example
            << "\nExit codes: 0 done, 1 the work failed, 2 the command line or an input was wrong"
            << (!assertions_.any() ? ".\n" : ",\n3 an assertion does not hold.\n");
}

void Command::print_options() {
  if (!options_to_print_) return;
  options_to_print_ = false;
  std::cerr << introduction_.name << " " << kVersion << " (" << kBuild << ")\n";
  for (const auto& [name, value] : resolved_) std::cerr << "  --" << name << " " << value << "\n";
}

void Command::message(const std::string& line) const {
  if (!get<bool>("quiet")) std::cerr << line << std::endl;
}

void Command::say(const std::string& line) {
  print_options();
  if (!get<bool>("quiet")) std::cout << line << std::endl;
  summary_ += line + "\n";
}

hdf5::Provenance Command::provenance(const std::string& input, const std::string& sha256) const {
  hdf5::Provenance p;
  p.program = introduction_.name;
  p.version = kVersion;
  p.build = kBuild;
  p.lapack = lapack::library().text();
  p.command_line = quoted(argc_, argv_);
  p.options = resolved_;
  p.seed = seed();
  p.input_file = input;
  p.input_sha256 = sha256;
  p.threads = omp_get_max_threads();
  p.start_time = start_time_;
  p.duration = clock_seconds() - start_seconds_;
  return p;
}

bool memory_can_be_chosen() {
  return has_memory_option;
}

const char* version() {
  return kVersion;
}

}  // namespace basin::tools
