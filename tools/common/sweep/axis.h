/// The axes of a sweep: `D=16:1024:*2`.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "basin/linalg/types.h"
#include "common/command/command.h"

namespace basin::tools {

/// One option that a sweep varies.
struct SweptOption {
  std::string option;               ///< its long name, "embedding"
  std::string key;                  ///< of a repeatable option BLOCK=VALUE: "W_O" in gain.W_O
  std::string name;                 ///< for people: "D", "kernel", "gain.W_O"; of a variable its own, "depth"
  std::vector<std::string> values;  ///< as on a command line

  /// "embedding", "gain.W_O"
  std::string long_name() const { return key.empty() ? option : option + "." + key; }
  /// Option and argument for value i.
  std::pair<std::string, std::string> setting(Index i) const {
    return {option, key.empty() ? values.at(i) : key + "=" + values.at(i)};
  }
  /// Whether all values are numbers.
  bool numeric() const;
  std::vector<double> numbers() const;
};

/// One axis: an option, or several that vary together.
struct SweepAxis {
  std::vector<SweptOption> options;

  Index size() const { return static_cast<Index>(options.front().values.size()); }
  /// As parse_axis reads it, with long names and every value: "embedding=64,128+heads=2,4".
  std::string text() const;
};

/// Reads OPTION=LIST, or several of the same length with + between. OPTION is one of `sweepable`, by its long
/// name or its letter, or NAME.KEY for a repeatable one. A LIST has items between commas: numbers, words,
/// ranges a:b:step, a:b:+step or a:b:*factor, which end at b or the last value before it.
/// The name of one of the `variables` of a network stands for set.NAME. Throws InputError, which says what
/// was found and what expected.
SweepAxis parse_axis(const std::string& text, const po::options_description& sweepable,
                     const std::vector<std::string>& variables = {});

/// The same for several axes, all options different.
std::vector<SweepAxis> parse_axes(const std::vector<std::string>& texts,
                                  const po::options_description& sweepable,
                                  const std::vector<std::string>& variables = {});

}  // namespace basin::tools
