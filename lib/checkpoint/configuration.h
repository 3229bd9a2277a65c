/// The configuration of a model, as a file config.json beside its weights has it.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "basin/linalg/types.h"

namespace basin {

/// An object of JSON, asked key by key. What is null is not there. Every error is an InputError that names
/// the file and the key, what was found and what was expected.
class Configuration {
 public:
  /// The text of a file. Throws InputError for what is no object.
  Configuration(std::string path, const std::string& text);
  /// One without a file or keys.
  Configuration();

  const std::string& path() const { return path_; }
  bool has(const std::string& key) const;

  /// Whole numbers from 1; the first key that is there, else the fallback, else an error.
  Index size(const std::vector<std::string>& keys, std::optional<Index> fallback = std::nullopt) const;
  /// One number, or two as a list: height and width.
  std::pair<Index, Index> sides(const std::string& key) const;
  double number(const std::vector<std::string>& keys, double fallback) const;
  bool flag(const std::string& key, bool fallback) const;
  std::string word(const std::vector<std::string>& keys,
                   const std::optional<std::string>& fallback = std::nullopt) const;
  /// The first of a list of words; empty without one.
  std::string first_word(const std::string& key) const;
  /// The object at a key; an empty one where there is none.
  Configuration object(const std::string& key) const;

  /// Refuses another value than this one, which stands for what is not there: of options that change the
  /// model in ways that are not known here.
  void expect_flag(const std::string& key, bool value) const;
  void expect_word(const std::string& key, const std::string& value) const;
  void expect_absent(const std::string& key) const;

  /// Throws InputError "PATH: KEY: ...".
  [[noreturn]] void refuse(const std::string& key, const std::string& what) const;

  /// Takes keys as known that say nothing of the network in evaluation.
  void pass(const std::vector<std::string>& keys) const;
  /// The keys that nobody has asked for. Throws InputError for one that is a slip of one that is known.
  std::vector<std::string> unread() const;
  /// Those of them in which one of these words is; of configurations that say much more than the network.
  std::vector<std::string> unread_with(const std::vector<std::string>& words) const;

 private:
  const nlohmann::ordered_json* find(const std::string& key) const;

  std::string path_, where_;  ///< the file, and where in it this object is ("model_args.")
  std::shared_ptr<const nlohmann::ordered_json> json_;
  std::shared_ptr<std::set<std::string>> asked_;
};

}  // namespace basin
