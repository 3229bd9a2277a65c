#include "common/sweep/axis.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"

using namespace basin;
using namespace basin::tools;
using Catch::Matchers::Contains;

namespace {

po::options_description sweepable() {
  po::options_description options;
  options.add_options()("embedding,D", po::value<Index>(), "")("heads,H", po::value<Index>(), "")(
      "kernel", po::value<std::string>(), "")("train", po::value<std::string>(), "")(
      "noise", po::value<double>(), "")("gain", po::value<std::vector<std::string>>()->composing(), "")(
      "data-seed", po::value<Seed>(), "");
  return options;
}

std::string read(const std::string& text) {
  return parse_axis(text, sweepable()).text();
}

}  // namespace

TEST_CASE("lists and ranges") {
  CHECK(read("D=16,24,32") == "embedding=16,24,32");
  CHECK(read("embedding=16:128:*2") == "embedding=16,32,64,128");
  CHECK(read("D=16:100:*2") == "embedding=16,32,64");
  CHECK(read("D=4:16:4") == "embedding=4,8,12,16");
  CHECK(read("D=4:15:+4") == "embedding=4,8,12");
  CHECK(read("D=16:4:-4") == "embedding=16,12,8,4");
  CHECK(read("D=64:8:*0.5") == "embedding=64,32,16,8");
  CHECK(read("D=4:4:1") == "embedding=4");
  CHECK(read("D=1:3:1,8:32:*2,100") == "embedding=1,2,3,8,16,32,100");
  CHECK(read("noise=0:0.5:0.1") == "noise=0,0.1,0.2,0.3,0.4,0.5");
  CHECK(read("noise=0.001:1:*10") == "noise=0.001,0.01,0.1,1");
  CHECK(read("D=100000:1000000:*10") == "embedding=100000,1000000");
  CHECK(read("kernel=softmax,gaussian") == "kernel=softmax,gaussian");
}

TEST_CASE("what parse_axis writes it reads again") {
  for (const std::string text : {"D=16:1024:*2+H=2:14:2", "gain.W_O=0.5:4:*2", "train=W_Q,W_Q+W_K,W_V",
                                 "train=W_Q+W_K,W_V+D=1,2", "D=4:12:+4+H=1,2,3"}) {
    CHECK(read(read(text)) == read(text));
  }
}

TEST_CASE("options that vary together, blocks, names") {
  const SweepAxis paired = parse_axis("D=64,128+H=2,4", sweepable());
  REQUIRE(paired.options.size() == 2);
  CHECK(paired.options[1].name == "H");
  CHECK(paired.options[1].setting(1) == std::pair<std::string, std::string>("heads", "4"));
  const SweepAxis gain = parse_axis("gain.W_O=0.5:2:*2", sweepable());
  CHECK(gain.options[0].name == "gain.W_O");
  CHECK(gain.options[0].setting(2) == std::pair<std::string, std::string>("gain", "W_O=2"));
  CHECK(gain.options[0].numeric());
  CHECK(gain.options[0].numbers() == std::vector<double>{0.5, 1, 2});
  const SweepAxis train = parse_axis("train=W_Q+W_K,W_V+D=1,2", sweepable());
  CHECK(train.options[0].values == std::vector<std::string>{"W_Q+W_K", "W_V"});
  CHECK_FALSE(train.options[0].numeric());
}

TEST_CASE("what is no axis") {
  for (const auto& [text, message] : std::vector<std::pair<std::string, std::string>>{
           {"D", "--sweep D: found 'D'; expected OPTION=LIST"},
           {"=1,2", "found '=1,2'; expected OPTION=LIST"},
           {"Q=1,2", "unknown option 'Q'; expected one of embedding (D), heads (H), kernel, train"},
           {"D=", "found an empty value"},
           {"D=1,,2", "found an empty value"},
           {"D=1:2", "found the range '1:2'; expected a:b:step"},
           {"D=a:b:c", "found the range 'a:b:c'"},
           {"D=1:2:3:4", "found the range '1:2:3:4'"},
           {"D=16:4:2", "never gets from 16 to 4"},
           {"D=16:4:*2", "never gets from 16 to 4"},
           {"D=4:16:*0.5", "never gets from 4 to 16"},
           {"D=4:16:0", "never gets from 4 to 16"},
           {"D=4:16:*1", "expected a positive factor other than 1"},
           {"D=4:16:*-2", "expected a positive factor other than 1"},
           {"D=0:16:*2", "ends of the same sign, not 0"},
           {"D=1:1e9:1", "of more than 10000 values"},
           {"D=1,2,1", "found D = 1 twice"},
           {"noise=1,1.0", "found noise = 1.0 twice"},
           {"D=1,2+H=1,2,3", "found 2 values of D and 3 of H"},
           {"gain=1,2", "found 'gain'; expected gain.BLOCK, e.g. gain.W_O=0.5:4:*2"},
           {"D.W_O=1,2", "found 'D.W_O'; expected D alone"},
           {"data-seed=1,2", "seeds cannot be swept"},
           {"seed=1,2", "seeds cannot be swept"}}) {
    INFO(text);
    CHECK_THROWS_WITH(parse_axis(text, sweepable()), Contains(message));
    CHECK_THROWS_AS(parse_axis(text, sweepable()), InputError);
  }
  CHECK_THROWS_WITH(parse_axes({"D=1,2", "embedding=3,4"}, sweepable()),
                    "--sweep embedding=3,4: found D twice; expected every option in one axis only");
  CHECK(parse_axes({"gain.W_O=1,2", "gain.W_V=1,2"}, sweepable()).size() == 2);
}

TEST_CASE("variables of a network") {
  po::options_description options = sweepable();
  options.add_options()("set", po::value<std::vector<std::string>>()->composing(), "")(
      "init", po::value<std::string>(), "");
  const std::vector<std::string> variables = {"depth", "width", "kernel"};
  const auto option = [&](const std::string& text) {
    return parse_axis(text, options, variables).options[0];
  };
  for (const std::string text : {"depth=1:3:1", "set.depth=1:3:1"}) {
    CHECK(option(text).name == "depth");
    CHECK(option(text).long_name() == "set.depth");
    CHECK(option(text).setting(2) == std::pair<std::string, std::string>("set", "depth=3"));
  }
  CHECK(parse_axis("depth=1,2+width=4,8+D=1,2", options, variables).text() ==
        "set.depth=1,2+set.width=4,8+embedding=1,2");
  // what one writes is read without knowing the variables
  CHECK(parse_axis("set.depth=1,2", options).options[0].name == "depth");
  CHECK_THROWS_WITH(option("kernel=softmax,gaussian"),
                    Contains("'kernel' is an option, and a variable of the network; expected set.kernel"));
  CHECK(option("set.kernel=softmax,gaussian").name == "set.kernel");
  CHECK(option("set.D=1,2").name == "set.D");
  CHECK_THROWS_WITH(option("set=1,2"), Contains("expected set.VARIABLE"));
  CHECK_THROWS_WITH(option("dept=1,2"), Contains("expected one of depth, width, kernel, embedding (D)"));
  CHECK(option("gain.blocks.*.W_O=1,2").key == "blocks.*.W_O");
  CHECK(parse_axis("D=1,2+gain.blocks.*.W_O=1,2", options).options.size() == 2);
  CHECK(option("init=normal:0.02,gpt2").values == std::vector<std::string>{"normal:0.02", "gpt2"});
}
