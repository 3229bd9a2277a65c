#include "basin/linalg/memory.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>

#include "basin/linalg/errors.h"
#include "support/temporary_folder.h"

using namespace basin;

namespace {

const std::string kUnlimited1 = "9223372036854771712\n";

std::string mount_line(const std::string& root, const std::string& point, bool version_2) {
  return "31 23 0:28 / /sys rw - sysfs sysfs rw\n35 31 0:32 " + root + " " + point +
         " rw,relatime shared:9 - " +
         (version_2 ? "cgroup2 cgroup2 rw,nsdelegate\n" : "cgroup cgroup rw,memory\n");
}

/// What a child process under this limit has available, in MB (so that it fits an exit code): -1 if it fails.
[[maybe_unused]] int available_under(__rlimit_resource_t resource, rlim_t bytes) {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{bytes, bytes};
    _exit(setrlimit(resource, &limit) == 0 ? static_cast<int>(available_memory() / 1e6) : 255);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("the memory of control groups, version 2: the least limit from the group up to the root") {
  const test::TemporaryFolder t;
  t.write("a/b/c/memory.max", "max\n");
  t.write("a/b/memory.max", "3000000000\n");
  t.write("a/memory.max", "2000000000\n");
  const std::string mounts = mount_line("/", t / "", true);
  CHECK(control_group_memory("0::/a/b/c\n", mounts) == 2e9);
  t.write("a/b/memory.high", "1000000000\n");
  CHECK(control_group_memory("0::/a/b/c\n", mounts) == 1e9);
  CHECK(control_group_memory("0::/a\n", mounts) == 2e9);
  CHECK(std::isinf(control_group_memory("0::/\n", mounts)));
  CHECK(std::isinf(control_group_memory("0::/elsewhere\n", mounts)));
}

TEST_CASE("the memory of control groups, version 1, beside controllers of other things and of version 2") {
  const test::TemporaryFolder t;
  t.write("memory/memory.limit_in_bytes", kUnlimited1);
  t.write("memory/job/memory.limit_in_bytes", "1500000000\n");
  t.write("memory/job/step/memory.limit_in_bytes", kUnlimited1);
  const std::string mounts = mount_line("/", t / "unified", true) + mount_line("/", t / "memory", false);
  const std::string groups = "9:name=systemd:/x\n4:cpu,memory:/job/step\n3:cpuset:/\n0::/y\n";
  CHECK(control_group_memory(groups, mounts) == 1.5e9);
  CHECK(std::isinf(control_group_memory("3:cpuset:/job\n0::/job\n", mounts)));
}

TEST_CASE("the memory of control groups in containers: of the group that is seen") {
  const test::TemporaryFolder t;
  t.write("memory.limit_in_bytes", "500000000\n");
  t.write("below/memory.limit_in_bytes", "400000000\n");
  const std::string mounts = mount_line("/docker/7af", t / "", false);
  CHECK(control_group_memory("4:memory:/docker/7af\n", mounts) == 5e8);
  CHECK(control_group_memory("4:memory:/docker/7af/below\n", mounts) == 4e8);
  CHECK(control_group_memory("4:memory:/docker/other\n", mounts) == 5e8);
  CHECK(control_group_memory("4:memory:/../../below\n", mounts) == 5e8);
}

TEST_CASE("control groups at a place with blanks in its name, and texts that are none") {
  const test::TemporaryFolder t;
  t.write("a b/memory.max", "7e8\n");
  const std::string point = (t / "a b").replace((t / "a b").find(' '), 1, "\\040");
  CHECK(control_group_memory("0::/\n", mount_line("/", point, true)) == 7e8);
  CHECK(std::isinf(control_group_memory("", "")));
  CHECK(std::isinf(control_group_memory("0\n:\n::\n", "- cgroup2\nx\n")));
}

TEST_CASE("the memory that is available: limits of the process are in it") {
  const double all = available_memory();
  REQUIRE(all > 1e8);
#ifndef BASIN_SANITIZE  // which maps terabytes for itself
  CHECK(available_under(RLIMIT_AS, 100'000'000) == 100);
  CHECK(available_under(RLIMIT_DATA, 90'000'000) == 90);
#endif
  CHECK_NOTHROW(require_memory("x", all));
  CHECK_THROWS_WITH(require_memory("-D 1000000000: X", 1e40),
                    "-D 1000000000: X would take 1e+25 PB of memory, and " + bytes_text(all) + " are there");
  CHECK_THROWS_AS(require_memory("x", std::nan("")), InputError);
}
