#include "native/threads.h"

#include <omp.h>
#include <pthread.h>

#include <atomic>

namespace basin::python {
namespace {

struct Settings {
  int threads, levels;
};
Settings settings() {
  return {omp_get_max_threads(), omp_get_max_active_levels()};
}
void apply(const Settings& of) {
  omp_set_num_threads(of.threads);
  omp_set_max_active_levels(of.levels);
}

std::atomic<int> chosen = 0;
std::atomic<bool> forked = false;
thread_local Settings callers = {0, 0};  // of who called us on this thread

}  // namespace

void watch_forks() {
  pthread_atfork(nullptr, nullptr, [] { forked = true; });
}

void set_threads(int threads) {
  chosen = threads;
}

int threads() {
  if (forked) return 1;
  return chosen > 0 ? chosen.load() : omp_get_max_threads();
}

OurThreads::OurThreads() : threads_(settings().threads), levels_(settings().levels) {
  apply({threads(), 1});
  callers = {threads_, levels_};
}
OurThreads::~OurThreads() {
  apply({threads_, levels_});
}

CallersThreads::CallersThreads() : threads_(settings().threads), levels_(settings().levels) {
  apply(callers);
}
CallersThreads::~CallersThreads() {
  callers = settings();  // the caller may have changed them
  apply({threads_, levels_});
}

}  // namespace basin::python
