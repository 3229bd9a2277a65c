/// What happens when a run is told to stop.
#pragma once

#include <string>

namespace basin::tools {

/// From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT delete unfinished files and say so on stderr before they
/// end the process. What goes wrong in a write comes as an error of that write, not as a signal.
void handle_interrupts(const std::string& program);

/// What the line that an interrupt prints says of the work: how to go on with it. Empty: nothing is kept.
void say_on_interrupt(const std::string& line);

/// "what is finished is in JOURNAL; ..."
std::string going_on(const std::string& journal);

}  // namespace basin::tools
