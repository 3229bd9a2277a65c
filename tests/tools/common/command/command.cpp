#include "common/command/command.h"

#include <catch2/catch.hpp>

#include "support/temporary_folder.h"

using namespace basin;
using namespace basin::test;
using namespace basin::tools;

namespace {

std::vector<std::string> names(const Specification& specification) {
  std::vector<std::string> all;
  for (const auto& [name, value] : specification) all.push_back(name);
  return all;
}

}  // namespace

TEST_CASE("an option belongs to what it is declared with") {
  const TemporaryFolder folder;
  const std::string output = folder / "r.h5";
  const char* const words[] = {"tool", "-o", output.c_str(), "--width", "3", "-c", "red", "--part", "2/5"};
  Command command({"tool", "", "", "", ""}, static_cast<int>(std::size(words)), words);
  command.options.add_options()("width", po::value<Index>(), "")("depth", po::value<Index>(), "");
  command.add_options(Identity::none)("colour,c", po::value<std::string>(), "");
  command.add_options(Identity::run)("start", po::value<Index>()->default_value(7), "");
  command.add_part_option("work");
  command.add_assert_option({{"good", "it is"}});
  bool memory_counts = GENERATE(false, true);
  command.add_memory_option(memory_counts ? Identity::whole : Identity::none);
  REQUIRE(command.parse());
  command.resolve("depth", "4");  // what is left to the tool belongs to it, too
  CHECK(names(command.identity()) ==
        (memory_counts ? std::vector<std::string>{"depth", "memory", "part", "seed", "start", "width"}
                       : std::vector<std::string>{"depth", "part", "seed", "start", "width"}));
  CHECK(names(command.shared_identity()) == (memory_counts
                                                 ? std::vector<std::string>{"depth", "memory", "width"}
                                                 : std::vector<std::string>{"depth", "width"}));
  CHECK(command.shared_identity().front().second == "4");
}
