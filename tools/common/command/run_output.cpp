#include "common/command/run_output.h"

#include <filesystem>

#include "basin/hdf5/file_names.h"
#include "basin/linalg/errors.h"
#include "common/command/tensors.h"

namespace basin::tools {
namespace {

constexpr const char* kSpecification = "/specification";

/// The specification in a file; empty when it is no result or has none.
std::string specification_in(const std::string& path, const std::string& dataset) {
  try {
    if (is_safetensors(path)) return specification_of_safetensors(path);
    const hdf5::Reader file(path);
    return file.has(dataset) ? file.read_string(dataset) : "";
  } catch (const InputError&) {
    return "";
  }
}

}  // namespace

RunOutput::RunOutput(const Command& command, std::string path, std::string group)
    : path_(std::move(path)),
      group_(std::move(group)),
      overwrite_(command.get<bool>("overwrite")),
      there_(is_resumed(command, path_)) {}

void RunOutput::check(const Specification& specification) {
  if (!there_) return;
  const std::string found = specification_in(path_, group_ + kSpecification);
  if (found.empty())
    throw InputError(path_ +
                     ": exists already and is not the result of this run; give another name or --overwrite");
  const std::string difference = first_difference(parse_specification(found), specification);
  if (!difference.empty())
    throw InputError(path_ + ": exists already and is the result of another run (" + difference +
                     "); give another name or --overwrite");
  finished_ = true;
}

bool is_resumed(const OptionValues& command, const std::string& path) {
  std::error_code error;
  return command.given("resume") && command.get<bool>("resume") && !command.get<bool>("overwrite") &&
         std::filesystem::exists(path, error);
}

void write_specification(hdf5::Writer& file, const std::string& group, const Specification& specification) {
  file.write(group + kSpecification, specification_text(specification));
}

std::string journal_of(const std::string& output) {
  return companion(output, ".journal");
}

std::string checkpoint_of(const std::string& output) {
  return companion(output, ".checkpoint");
}

}  // namespace basin::tools
