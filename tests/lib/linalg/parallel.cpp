#include "basin/linalg/parallel.h"

#include <catch2/catch.hpp>
#include <stdexcept>
#include <vector>

using namespace basin;

TEST_CASE("every item is worked on once, progress counts up, and exceptions come out") {
  std::vector<int> visits(100, 0);
  Index last = 0;
  parallel_for(
      100, [&](Index item, Index slot) { visits[item] += slot < thread_slots() ? 1 : 100; },
      [&](Index done, Index total) {
        CHECK(done == ++last);
        CHECK(total == 100);
      });
  CHECK(last == 100);
  for (const int count : visits) CHECK(count == 1);
  CHECK_THROWS_WITH(parallel_for(50,
                                 [](Index item, Index) {
                                   if (item == 20) throw std::runtime_error("item 20");
                                 }),
                    "item 20");
}
