#include "basin/checkpoint/tensor_part.h"

#include <catch2/catch.hpp>
#include <set>

#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"

using namespace basin;

namespace {

/// What the part holds of a tensor whose entries are their places.
std::vector<Index> places(const TensorPart& part, const std::vector<Index>& shape) {
  const TensorView view(part, shape);
  std::vector<Index> all(static_cast<std::size_t>(view.size()), -1);
  view.for_each([&](Index k, Index place) { all.at(static_cast<std::size_t>(k)) = place; });
  return all;
}

}  // namespace

TEST_CASE("a part is what NumPy's reshape, index and transpose take") {
  const std::vector<Index> shape = {6, 2};
  CHECK(places({"t"}, shape) == std::vector<Index>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  CHECK(places({.tensor = "t", .permute = {1, 0}}, shape) ==
        std::vector<Index>{0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11});
  // np.arange(12).reshape(3, 2, 1, 2)[1].transpose(0, 2, 1)
  const TensorPart key = {.tensor = "t", .reshape = {3, 2, 1, 2}, .index = {1}, .permute = {0, 2, 1}};
  CHECK(TensorView(key, shape).extents() == std::vector<Index>{2, 2, 1});
  CHECK(places(key, shape) == std::vector<Index>{4, 5, 6, 7});
  // np.arange(12).reshape(2, 3, 2)[:, 2].transpose(1, 0)
  CHECK(places({.tensor = "t", .reshape = {2, 3, 2}, .index = {TensorPart::kWhole, 2}, .permute = {1, 0}},
               shape) == std::vector<Index>{4, 10, 5, 11});
  CHECK(places({.tensor = "t", .index = {3, 1}}, shape) == std::vector<Index>{7});
  CHECK(places({"t"}, {}) == std::vector<Index>{0});
  CHECK(places({"t"}, {3, 0}).empty());
}

TEST_CASE("parts by random permutations and indices agree with index arithmetic") {
  Random random(5, "tensor parts");
  for (int draw = 0; draw < 200; ++draw) {
    const auto small = [&] { return static_cast<Index>(random.uniform() * 3) + 1; };
    const std::vector<Index> shape = {small(), small(), small(), small()};
    TensorPart part = {.tensor = "t"};
    std::vector<std::size_t> left;
    for (std::size_t axis = 0; axis < 4; ++axis) {
      const bool whole = random.uniform() < 0.6;
      part.index.push_back(whole ? TensorPart::kWhole : static_cast<Index>(random.uniform() * shape[axis]));
      if (whole) left.push_back(axis);
    }
    for (std::size_t a = 0; a < left.size(); ++a) part.permute.push_back(static_cast<Index>(a));
    for (std::size_t a = left.size(); a-- > 1;)
      std::swap(part.permute[a], part.permute[static_cast<std::size_t>(random.uniform() * (a + 1))]);
    const TensorView view(part, shape);
    view.for_each([&](Index k, Index place) {
      // from the place in the block back to the place in the tensor
      std::vector<Index> at = part.index;
      for (std::size_t a = left.size(); a-- > 0;) {
        at[left[static_cast<std::size_t>(part.permute[a])]] = k % view.extents()[a];
        k /= view.extents()[a];
      }
      Index expected = 0;
      for (std::size_t axis = 0; axis < 4; ++axis) expected = expected * shape[axis] + at[axis];
      REQUIRE(place == expected);
    });
  }
}

TEST_CASE("parts that a tensor does not have are refused by its name") {
  const std::vector<Index> shape = {6, 2};
  const auto refused = [&](const TensorPart& part, const std::string& words) {
    CHECK_THROWS_WITH(TensorView(part, shape),
                      Catch::Contains("tensor t of shape (6, 2)") && Catch::Contains(words));
  };
  refused({.tensor = "t", .reshape = {5, 2}}, "another number of entries");
  refused({.tensor = "t", .reshape = {Index{1} << 40, Index{1} << 40}}, "another number of entries");
  refused({.tensor = "t", .index = {6}}, "index 6 of axis 0");
  refused({.tensor = "t", .index = {0, 0, 0}}, "an index of 3 axes");
  refused({.tensor = "t", .permute = {0, 0}}, "permute (0, 0)");
  refused({.tensor = "t", .index = {0}, .permute = {1, 0}}, "each of the 1 axes once");
}
