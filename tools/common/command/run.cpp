#include "common/command/run.h"

#include <iostream>

#include "basin/checkpoint/safetensors.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/problem/encoding.h"
#include "common/command/interrupt.h"

namespace basin::tools {
namespace {

std::string out_of_memory() {
  return "out of memory, of which there are " + bytes_text(available_memory()) +
         (memory_can_be_chosen() ? "; a smaller --memory makes it recompute more" : "");
}

/// A line and the indented ones of a recipe, each whatever it quotes.
std::string recipe_lines(const std::string& message) {
  static const std::string kIndented = "\n    ";
  std::string text;
  for (std::size_t from = 0;;) {
    const std::size_t end = message.find(kIndented, from);
    text += escaped(message.substr(from, end - from), true);
    if (end == std::string::npos) return text;
    text += kIndented;
    from = end + kIndented.size();
  }
}

}  // namespace

int run(const std::string& name, const std::function<void()>& body) {
  handle_interrupts(name);
  const auto say = [&](const std::string& what, ExitCode code) {
    std::cerr << name << ": " << what << std::endl;
    return code;
  };
  const auto fail = [&](const std::string& message, ExitCode code) {
    return say(escaped(message, true), code);  // one line, whatever it quotes
  };
  try {
    body();
    std::cout.flush();
    if (!std::cout) return fail("cannot write to the standard output", kWorkFailed);
    return kDone;
  } catch (const RefutedAssertion& error) {
    return fail(error.what(), kRefuted);
  } catch (const PickleError& error) {
    return say(recipe_lines(error.what()), kWrongInput);
  } catch (const InputError& error) {
    return fail(error.what(), kWrongInput);
  } catch (const po::error& error) {
    return fail(std::string(error.what()) + "; see --help", kWrongInput);
  } catch (const std::bad_alloc&) {
    return fail(out_of_memory(), kWorkFailed);
  } catch (const std::length_error&) {  // of a container, as if memory were endless
    return fail(out_of_memory(), kWorkFailed);
  } catch (const std::exception& error) {
    return fail(error.what(), kWorkFailed);
  }
}

int run_tool(const Introduction& introduction, int argc, const char* const* argv,
             const std::function<void(Command&)>& body) {
  return run(introduction.name, [&] {
    Command command(introduction, argc, argv);
    body(command);
    command.check_assertions();
  });
}

int run_kinds(const std::string& name, const std::string& what, const std::string& overview,
              const std::vector<Kind>& kinds, int argc, const char* const* argv) {
  return run(name, [&] {
    const std::string word = argc > 1 ? argv[1] : "";
    std::string words;
    for (const Kind& kind : kinds) {
      if (kind.word == word) return kind.work(argc, argv);
      words += (words.empty() ? "" : &kind == &kinds.back() ? " or " : ", ") + kind.word;
    }
    if (word == "--help" || word == "-h") return static_cast<void>(std::cout << overview);
    if (word == "--version") return static_cast<void>(std::cout << name << " " << version() << "\n");
    throw InputError((word.empty() ? "no " + what + " given" : "unknown " + what + " '" + word + "'") +
                     "; expected " + words + "; see --help");
  });
}

}  // namespace basin::tools
