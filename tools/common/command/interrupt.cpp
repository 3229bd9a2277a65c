#include "common/command/interrupt.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstring>

#include "basin/hdf5/unfinished.h"

namespace basin::tools {
namespace {

// A signal handler may read fixed memory and atomics, and write(); two lines, so that one is always whole.
struct Line {
  std::array<char, 1024> text = {};
  std::size_t length = 0;
};
std::array<Line, 2> lines;
std::atomic<int> current = 0;
std::string program_name;

void set_line(const std::string& line) {
  const int next = 1 - current.load();
  const std::string text = line.substr(0, lines[0].text.size() - 1) + "\n";
  std::copy(text.begin(), text.end(), lines[next].text.begin());
  lines[next].length = text.size();
  current = next;
}

extern "C" void interrupted(int signal) {
  remove_unfinished_files();
  const Line& line = lines[static_cast<std::size_t>(current.load())];
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.text.data(), line.length);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

void handle_interrupts(const std::string& program) {
  program_name = program;
  say_on_interrupt("");
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT})
    if (std::signal(signal, interrupted) == SIG_IGN) std::signal(signal, SIG_IGN);  // as nohup asks
  std::signal(SIGXFSZ, SIG_IGN);  // a file too large is then an error of the write,
  std::signal(SIGPIPE, SIG_IGN);  // and so is a reader who has gone
}

void say_on_interrupt(const std::string& line) {
  set_line(program_name + ": interrupted; " + (line.empty() ? "nothing was written" : line));
}

std::string going_on(const std::string& journal) {
  return "what is finished is in " + journal + ": the same command with --resume goes on";
}

}  // namespace basin::tools
