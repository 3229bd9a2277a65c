#include "common/command/files.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "basin/hdf5/part_file.h"
#include "basin/linalg/errors.h"
#include "common/command/run_output.h"

namespace basin::tools {
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

/// "--problem p.h5": the option that names this file as one to read, or a folder that has it; empty if none.
std::string option_that_reads(const std::string& path, const OptionFiles& files) {
  std::error_code error;
  for (const auto& option : files.options.options()) {
    const std::string& name = option->long_name();
    if (!names_files(*option) || !files.values.given(name) ||
        std::count(files.outputs.begin(), files.outputs.end(), name) > 0)
      continue;
    for (const std::string& one : files.values.texts(name))
      for (const fs::path& file : files_named(one))
        if (fs::equivalent(path, file, error) || (fs::is_directory(file, error) && is_within(path, file)))
          return "--" + name + " " + one;
  }
  return "";
}

}  // namespace

void check_files(const OptionFiles& files) {
  std::error_code error;
  std::map<std::string, std::string> written;  // and by which option
  for (const std::string& name : files.outputs) {
    if (!files.values.given(name)) continue;
    const auto path = files.values.get<std::string>(name);
    const auto [other, is_new] =
        written.emplace(fs::weakly_canonical(fs::absolute(path), error).string(), name);
    if (!is_new)
      throw InputError("--" + name + " " + path + ": is --" + other->second + " as well; give another name");
    for (const std::string& file : {path, journal_of(path), checkpoint_of(path)})
      if (const std::string reader = option_that_reads(file, files); !reader.empty())
        throw InputError(file + ": is read as " + reader + "; give another name with --" + name);
    remove_unfinished(path);
    check_output(path, files.values.get<bool>("overwrite") || is_resumed(files.values, path));
  }
}

}  // namespace basin::tools
