#include "linalg/parallel.h"

#include <catch2/catch.hpp>
#include <stdexcept>
#include <vector>

using namespace basin;

TEST_CASE("items are committed in order, with any number of threads") {
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 7}) {
    omp_set_num_threads(threads);
    std::vector<Index> slots(thread_slots(), -1), order;
    ordered_parallel_for(
        100, [&](Index item, Index slot) { slots.at(slot) = item; },
        [&](Index item, Index slot) {
          CHECK(slots[slot] == item);
          order.push_back(item);
        });
    REQUIRE(order.size() == 100);
    for (Index i = 0; i < 100; ++i) CHECK(order[i] == i);
  }
  omp_set_num_threads(before);
}

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

TEST_CASE("an exception in a worker or a commit comes out, and nothing is committed after it") {
  Index committed = 0;
  const auto commit = [&](Index, Index) { ++committed; };
  CHECK_THROWS_WITH(ordered_parallel_for(
                        50,
                        [](Index item, Index) {
                          if (item == 20) throw std::runtime_error("item 20");
                        },
                        commit),
                    "item 20");
  CHECK(committed <= 20);  // the item may fail before its predecessors have been committed
  CHECK_THROWS_WITH(ordered_parallel_for(
                        5, [](Index, Index) {}, [](Index, Index) { throw std::runtime_error("commit"); }),
                    "commit");
}
