#include "common/sweep/source.h"

#include <map>

#include "basin/linalg/errors.h"
#include "common/command/network_problems.h"
#include "common/command/problems.h"

namespace basin::tools {
namespace {

class TeacherSource final : public DrawSource {
 public:
  DrawnProblem make(OptionValues values) const override {
    Problem problem = teacher_problem(values);
    draw_student(values, problem);
    std::optional<KnownMinimum> minimum;
    if (problem.teacher && values.get<double>("noise") == 0)
      minimum = teacher_minimum(problem, values.get<double>("target-scale"));
    return {setup_at(values, std::move(problem), std::move(minimum))};
  }
};

class TextSource final : public DrawSource {
 public:
  explicit TextSource(std::string folder)
      : folder_(std::move(folder)), sha256_(hdf5::sha256_of_files(folder_, review_names(folder_))) {}

  void prepare(const OptionValues& values) override {
    const auto tokens = values.get<Index>("tokens");
    if (!reviews_.contains(tokens)) reviews_.emplace(tokens, read_reviews(folder_, tokens));
  }
  DrawnProblem make(OptionValues values) const override {
    Problem problem = text_problem(values, reviews_.at(values.get<Index>("tokens"))).problem;
    draw_student(values, problem);
    return {setup_at(values, std::move(problem))};
  }
  std::pair<std::string, std::string> input() const override { return {folder_, sha256_}; }
  std::string note() const override {
    return reviews_.empty() ? "" : encoding_note(reviews_.begin()->second);
  }

 private:
  std::string folder_, sha256_;
  std::map<Index, Reviews> reviews_;
};

class ArchitectureSource final : public DrawSource {
 public:
  explicit ArchitectureSource(const OptionValues& values)
      : files_(values.get<std::string>("network")),
        sha256_(hdf5::sha256_of_files("", network_files(values, files_))) {}

  DrawnProblem make(OptionValues values) const override {
    Problem problem = network_problem(values, files_);
    draw_network_weights(values, files_.path(), *problem.described);
    return {setup_at(values, std::move(problem)), !values.given("targets")};
  }
  std::pair<std::string, std::string> input() const override { return {files_.path(), sha256_}; }
  std::vector<std::string> variables() const override {
    try {
      return variables_of(files_.description());
    } catch (const InputError& error) {
      throw InputError(files_.path() + ": " + error.what());
    }
  }

 private:
  mutable NetworkFiles files_;  ///< each is read once, under a lock
  std::string sha256_;
};

class ProblemSource final : public DrawSource {
 public:
  explicit ProblemSource(const std::string& path) : file_(read_problem_file(path)) {}

  DrawnProblem make(OptionValues values) const override { return {setup_of(values, file_)}; }
  std::pair<std::string, std::string> input() const override { return {file_.path, file_.sha256}; }

 private:
  ProblemFile file_;
};

}  // namespace

std::vector<std::string> sweep_kinds() {
  return {"teacher", "text", "architecture", "problem"};
}

po::options_description sweepable_options(const std::string& kind) {
  po::options_description options("Options of the problem");
  if (kind == "architecture") {
    add_network_problem_options(options);
    add_train_option(options);
    return options;
  }
  if (kind == "problem") {
    add_point_options(options, "gaussian");
    return options;
  }
  if (kind == "text")
    add_text_options(options);
  else
    add_teacher_options(options);
  add_student_options(options);
  add_train_option(options);
  return options;
}

void add_source_options(Command& command, const std::string& kind) {
  const auto first = [&](const char* name, const char* what, const char* help) {
    command.options.add_options()(name, po::value<std::string>()->required()->value_name(what), help);
    command.positional.add(name, 1);
  };
  if (kind == "text") first("folder", "FOLDER", "the folder of labelled text (first argument)");
  if (kind == "architecture") {
    first("network", "FILE", "the network (first argument)");
    add_network_file_options(command.options);
  }
  if (kind == "problem") first("problem", "FILE", "the problem file (first argument)");
  command.options.add(sweepable_options(kind));
}

std::unique_ptr<DrawSource> make_source(const Command& command, const std::string& kind) {
  if (kind == "text") return std::make_unique<TextSource>(command.get<std::string>("folder"));
  if (kind == "architecture") return std::make_unique<ArchitectureSource>(command);
  if (kind == "problem") return std::make_unique<ProblemSource>(command.get<std::string>("problem"));
  return std::make_unique<TeacherSource>();
}

}  // namespace basin::tools
