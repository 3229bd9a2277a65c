/// Threads of our own parallel loops, and nobody else's.
#pragma once

namespace basin::python {

/// Once, when the module is loaded.
void watch_forks();

/// How many threads our loops take; 0: as many as OpenMP would.
void set_threads(int threads);
int threads();

/// For as long as this lives, OpenMP takes our number of threads on the calling thread, one level deep; then
/// what the caller had. In a child of a fork there is one: threads that the parent's loops have used do not
/// exist there, and OpenMP would wait for them.
class OurThreads {
 public:
  OurThreads();
  ~OurThreads();
  OurThreads(const OurThreads&) = delete;
  OurThreads& operator=(const OurThreads&) = delete;

 private:
  int threads_, levels_;
};

/// The same the other way round, while somebody else's code runs inside of ours.
class CallersThreads {
 public:
  CallersThreads();
  ~CallersThreads();
  CallersThreads(const CallersThreads&) = delete;
  CallersThreads& operator=(const CallersThreads&) = delete;

 private:
  int threads_, levels_;
};

}  // namespace basin::python
