#include "common/command/command.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "basin/linalg/errors.h"
#include "basin/linalg/lapack.h"
#include "basin/problem/encoding.h"
#include "common/command/interrupt.h"
#include "common/command/run_output.h"
#include "common/command/words.h"
#include "common/version.h"

namespace basin::tools {
namespace {

constexpr int kMostThreads = 4096;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

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

/// The command line as one could type it again, in UTF-8.
std::string quoted(int argc, const char* const* argv) {
  std::string line;
  for (int i = 0; i < argc; ++i) {
    const std::string word = argv[i];
    const bool plain = !word.empty() && word.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789_-./,:=+@%^") == std::string::npos;
    line += i > 0 ? " " : "";
    if (plain) {
      line += word;
    } else if (const std::string safe = escaped(word, true); safe != word) {  // as bash reads it
      line += "$'";
      for (std::size_t k = 0; k < word.size();) {
        const std::size_t bytes = std::max<std::size_t>(character_at(word, k).bytes, 1);
        const std::string character = word.substr(k, bytes);
        line += character == "'" || character == "\\" ? "\\" + character : escaped(character, true);
        k += bytes;
      }
      line += '\'';
    } else {
      line += '\'';
      for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
      line += '\'';
    }
  }
  return line;
}

/// Not the names that are numbers for Boost: "nan" and "inf".
void check_numbers(const po::variables_map& values) {
  for (const auto& [name, value] : values)
    if (const auto* number_given = boost::any_cast<double>(&value.value());
        number_given && !std::isfinite(*number_given))
      throw InputError("--" + name + " " + number(*number_given) + ": expected a finite number");
}

/// Pasted from a typeset text, an option may begin with another dash.
void refuse_dashes(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    const char32_t code = word.empty() ? 0 : character_at(word, 0).code;
    if ((code >= 0x2010 && code <= 0x2015) || code == 0x2212)
      throw InputError("'" + word + "': begins with a typographic dash; expected '-' for an option");
  }
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

std::string value_text(const boost::any& value) {
  std::ostringstream out;
  out.precision(17);
  if (const auto* s = boost::any_cast<std::string>(&value)) out << *s;
  if (const auto* i = boost::any_cast<Index>(&value)) out << *i;
  if (const auto* seed = boost::any_cast<Seed>(&value)) out << *seed;
  if (const auto* n = boost::any_cast<int>(&value)) out << *n;
  if (const auto* d = boost::any_cast<double>(&value)) out << *d;
  if (const auto* b = boost::any_cast<bool>(&value)) out << (*b ? "true" : "false");
  if (const auto* list = boost::any_cast<std::vector<std::string>>(&value))
    for (std::size_t i = 0; i < list->size(); ++i) out << (i > 0 ? " " : "") << (*list)[i];
  return out.str();
}

bool memory_can_be_chosen = false;  ///< the tool that runs has --memory

std::string out_of_memory() {
  return "out of memory, of which there are " + bytes_text(available_memory()) +
         (memory_can_be_chosen ? "; a smaller --memory makes it recompute more" : "");
}

}  // namespace

std::istream& operator>>(std::istream& in, Seed& seed) {
  if (in.peek() == '-') in.setstate(std::ios::failbit);
  return in >> seed.value;
}

std::ostream& operator<<(std::ostream& out, const Seed& seed) {
  return out << seed.value;
}

std::string OptionValues::text(const std::string& option) const {
  return values_.count(option) > 0 ? value_text(values_[option].value()) : "";
}

Command::Command(Introduction introduction, int argc, const char* const* argv, int skip)
    : introduction_(std::move(introduction)),
      argc_(argc),
      argv_(argv),
      skip_(skip),
      start_time_(utc_now()),
      start_seconds_(now()) {
  common_.add_options()                                                                                //
      ("output,o", po::value<std::string>()->value_name("FILE"), "the HDF5 file to write (required)")  //
      ("overwrite", po::bool_switch(), "replace the output file if it exists")                         //
      ("seed", po::value<Seed>()->default_value(Seed{})->value_name("S"),
       "seed of all random numbers")  //
      ("threads", po::value<int>()->default_value(0)->value_name("T"),
       "number of threads; 0: OMP_NUM_THREADS if set, or all cores. The results do not depend on it")  //
      ("config", po::value<std::string>()->value_name("FILE"),
       "read options from a file, one 'name = value' a line; the command line wins")     //
      ("quiet,q", po::bool_switch(), "print nothing but errors")                         //
      ("verbose,v", po::bool_switch(), "print version and every resolved option first")  //
      ("help,h", "print this text")("version", "print the version");
}

void Command::add_precision_option() {
  options.add_options()("precision", po::value<std::string>()->default_value("double")->value_name("NAME"),
                        "double (16 digits) or float (7 digits, about twice as fast)");
}

void Command::add_memory_option() {
  memory_can_be_chosen = true;
  options.add_options()("memory", po::value<std::string>()->default_value("auto")->value_name("SIZE"),
                        "most memory for kept intermediate results and dense matrices, e.g. 200M or 4G; "
                        "auto: half of what the machine, ulimit and control groups allow");
}

void Command::add_part_option(const std::string& work) {
  options.add_options()("part", po::value<std::string>()->default_value("1/1")->value_name("i/k"),
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
  std::string help = "exit with code 3 unless this holds:";
  for (const auto& [name, meaning] : verdicts) {
    help.append(verdicts_.empty() ? " " : "; ").append(name).append(" (").append(meaning).append(")");
    verdicts_[name] = std::nullopt;
  }
  options.add_options()("assert", po::value<std::string>()->value_name("VERDICT[,VERDICT]"), help.c_str());
}

void Command::verdict(const std::string& name, bool holds) {
  verdicts_.at(name) = holds;
}

void Command::check_assertions() const {
  if (!given("assert")) return;
  for (const std::string& name : asserted())
    if (const std::optional<bool> holds = verdicts_.at(name); !holds.value_or(false))
      throw RefutedAssertion("--assert " + name +
                             (holds ? ": does not hold" : ": not judged, as the result was there already"));
}

/// The verdicts that --assert names. Throws InputError for others.
std::vector<std::string> Command::asserted() const {
  std::vector<std::string> names = split(get<std::string>("assert"), ',');
  for (const std::string& name : names) {
    if (!verdicts_.contains(name)) {
      std::string known;
      for (const auto& [other, holds] : verdicts_) known += (known.empty() ? "" : " or ") + other;
      throw InputError("--assert " + get<std::string>("assert") + ": found '" + name + "'; expected " +
                       known);
    }
  }
  return names;
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
  if (values_.count("config") > 0) {
    const std::string path = values_["config"].as<std::string>();
    std::istringstream file(unmarked(path, read_bytes(path)));
    if (file.str().empty()) throw InputError(path + ": the configuration file is empty");
    try {
      parsed_.push_back(po::parse_config_file(file, all_));
      po::store(parsed_.back(), values_);
    } catch (const po::error& error) {
      throw InputError(path + ": " + error.what());
    }
  }
  po::notify(values_);
  if (values_.count("output") == 0) throw InputError("no output file: give -o FILE");

  check_numbers(values_);
  const int threads = get<int>("threads");
  if (threads < 0 || threads > kMostThreads)
    throw InputError("--threads " + std::to_string(threads) + ": expected 1 to " +
                     std::to_string(kMostThreads) + ", or 0 for all cores");
  if (threads == 0) check_thread_environment();
  omp_set_max_active_levels(1);
  omp_set_num_threads(std::min(threads > 0 ? threads : omp_get_max_threads(), omp_get_thread_limit()));
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
  if (given("assert")) asserted();
  check_files();
  if (get<bool>("verbose")) {
    std::cerr << introduction_.name << " " << kVersion << " (" << kBuild << ")\n";
    for (const auto& [name, value] : resolved_) std::cerr << "  --" << name << " " << value << "\n";
  }
  return true;
}

void Command::add_output_option(const std::string& name, const std::string& help) {
  options.add_options()(name.c_str(), po::value<std::string>()->value_name("FILE"), help.c_str());
  outputs_.push_back(name);
}

namespace {

namespace fs = std::filesystem;

/// The files that the value of an option can name: FILE, FILE:DATASET, FILE:DATASET:ROW.
std::vector<fs::path> files_named(const std::string& value) {
  std::vector<fs::path> files;
  std::error_code error;
  for (std::size_t colon = value.find(':');; colon = value.find(':', colon + 1)) {
    const fs::path file = value.substr(0, colon);
    if (fs::exists(file, error)) files.push_back(file);
    if (colon == std::string::npos) return files;
  }
}

/// Whether an option names files to read or, in outputs, to write: its argument says so.
bool names_files(const po::option_description& option) {
  const std::string argument = option.format_parameter();
  for (const char* word : {"FILE", "FOLDER", ".h5", "DIRECTION"})
    if (argument.find(word) != std::string::npos) return true;
  return false;
}

bool is_within(const fs::path& file, const fs::path& folder) {
  std::error_code error;
  const fs::path inner = fs::canonical(file, error), outer = fs::canonical(folder, error);
  return !error && std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

}  // namespace

/// An input is never an output, by whatever name, nor an output another one. Deletes what killed runs left of
/// the outputs.
void Command::check_files() const {
  std::error_code error;
  std::map<std::string, std::string> written;  // and by which option
  for (const std::string& name : outputs_) {
    if (!given(name)) continue;
    const auto path = get<std::string>(name);
    const auto [other, is_new] =
        written.emplace(fs::weakly_canonical(fs::absolute(path), error).string(), name);
    if (!is_new)
      throw InputError("--" + name + " " + path + ": is --" + other->second + " as well; give another name");
    for (const std::string& file : {path, journal_of(path), checkpoint_of(path)})
      if (const std::string reader = option_that_reads(file); !reader.empty())
        throw InputError(file + ": is read as " + reader + "; give another name with --" + name);
    remove_unfinished(path);
  }
}

/// "--problem p.h5": the option that names this file as one to read, or a folder that has it; empty if none.
std::string Command::option_that_reads(const std::string& path) const {
  std::error_code error;
  for (const auto& option : all_.options()) {
    const std::string& name = option->long_name();
    if (!names_files(*option) || !given(name) || std::count(outputs_.begin(), outputs_.end(), name) > 0)
      continue;
    const boost::any& value = values_[name].value();
    const auto* list = boost::any_cast<std::vector<std::string>>(&value);
    for (const std::string& one : list ? *list : std::vector<std::string>{get<std::string>(name)})
      for (const fs::path& file : files_named(one))
        if (fs::equivalent(path, file, error) || (fs::is_directory(file, error) && is_within(path, file)))
          return "--" + name + " " + one;
  }
  return "";
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
            << (verdicts_.empty() ? ".\n" : ",\n3 an assertion does not hold.\n");
}

Progress Command::progress(const std::string& what) const {
  if (get<bool>("quiet")) return {};
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const double interval = terminal ? 0.2 : 10;
  return [what, terminal, interval, start = now(), last = now()](Index done, Index total) mutable {
    const double time = now(), elapsed = time - start;
    const bool finished = done == total;
    if (elapsed < 1 || (time - last < interval && !finished)) return;
    last = time;
    const double left = elapsed / static_cast<double>(done) * static_cast<double>(total - done);
    std::fprintf(stderr, "%s%s: %ld of %ld, %.0f s, at most %.0f s left%s", terminal ? "\r" : "",
                 what.c_str(), static_cast<long>(done), static_cast<long>(total), elapsed, left,
                 terminal && !finished ? "   " : "\n");
    std::fflush(stderr);
  };
}

std::function<void(const std::string&)> Command::status() const {
  if (get<bool>("quiet")) return {};
  constexpr double kInterval = 10;
  return [last = std::make_shared<double>(now()), start = now()](const std::string& stage) {
#pragma omp critical(basin_progress)
    if (const double time = now(); time - *last >= kInterval) {
      *last = time;
      std::fprintf(stderr, "%s, %.0f s\n", stage.c_str(), time - start);
      std::fflush(stderr);
    }
  };
}

void Command::message(const std::string& line) const {
  if (!get<bool>("quiet")) std::cerr << line << std::endl;
}

void Command::say(const std::string& line) {
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
  p.duration = now() - start_seconds_;
  return p;
}

int run(const std::string& name, const std::function<void()>& body) {
  handle_interrupts(name);
  const auto fail = [&](const std::string& message, ExitCode code) {
    std::cerr << name << ": " << escaped(message, true) << std::endl;  // one line, whatever it quotes
    return code;
  };
  try {
    body();
    std::cout.flush();
    if (!std::cout) return fail("cannot write to the standard output", kWorkFailed);
    return kDone;
  } catch (const RefutedAssertion& error) {
    return fail(error.what(), kRefuted);
  } catch (const InputError& error) {
    return fail(error.what(), kWrongInput);
  } catch (const po::error& error) {
    return fail(std::string(error.what()) + "; see --help", kWrongInput);
  } catch (const std::bad_alloc&) {
    return fail(out_of_memory(), kWorkFailed);
  } catch (const std::length_error&) {  // of a container, as if memory were endless
    return fail(out_of_memory(), kWorkFailed);
  } catch (const std::exception& error) {
    return fail(error.what(), kWorkFailed);
  }
}

int run_tool(const Introduction& introduction, int argc, const char* const* argv,
             const std::function<void(Command&)>& body) {
  return run(introduction.name, [&] {
    Command command(introduction, argc, argv);
    body(command);
    command.check_assertions();
  });
}

const char* version() {
  return kVersion;
}

std::string number(double value, int digits) {
  std::ostringstream out;
  out.precision(digits);
  out << value;
  return out.str();
}

std::string percent(double share) {
  return number(100 * share, 3) + " %";
}

namespace {

/// The positive value, moved by `units` of the last of so many digits.
double moved(double value, int digits, int units) {
  return value + units * std::pow(10.0, std::floor(std::log10(value)) - digits + 1);
}

}  // namespace

std::string number_below(double value, int digits) {
  if (value < 0) {
    const std::string above = number_above(-value, digits);
    return above == "0" ? above : "-" + above;
  }
  const std::string nearest = number(value, digits);
  const bool fits = !(value > 0) || !std::isfinite(value) || std::strtod(nearest.c_str(), nullptr) <= value;
  return fits ? nearest : number(moved(value, digits, -1), digits);
}

std::string number_above(double value, int digits) {
  if (value < 0) {
    const std::string below = number_below(-value, digits);
    return below == "0" ? below : "-" + below;
  }
  const std::string nearest = number(value, digits);
  const bool fits = !(value > 0) || !std::isfinite(value) || std::strtod(nearest.c_str(), nullptr) >= value;
  return fits ? nearest : number(moved(value, digits, 1), digits);
}

std::string with_error(double value, double error) {
  int digits = 10;
  if (const double ratio = std::abs(value) / error; std::isfinite(ratio) && ratio > 0)
    digits = std::clamp(static_cast<int>(std::ceil(std::log10(ratio))) + 2, 6, 17);
  const std::string text = number(value, digits);
  // What is cut off the value is part of the error.
  return text + " +- " + number_above(error + std::abs(std::strtod(text.c_str(), nullptr) - value), 2);
}

}  // namespace basin::tools
