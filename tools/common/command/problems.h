/// From options to the problems of basin-problem, for every tool that makes some.
#pragma once

#include <string>
#include <vector>

#include "basin/problem/problem.h"
#include "basin/problem/text.h"
#include "common/command/command.h"

namespace basin::tools {

/// Data and teacher of a synthetic problem (problem/teacher.h).
void add_teacher_options(po::options_description& options);
/// Data from labelled text (problem/text.h), without the folder.
void add_text_options(po::options_description& options);
/// Kernel and initial weights, common to all kinds of problem.
void add_student_options(po::options_description& options);

/// These read the options above, resolve the seeds in them, and throw InputError for what cannot be. The
/// problems have the student's kernel, and no weights.
Problem teacher_problem(OptionValues& values);
TextProblem text_problem(OptionValues& values, const Reviews& reviews);
/// That the encoding of some reviews is guessed, for people; empty if none is.
std::string encoding_note(const Reviews& reviews);

Network student_network(const OptionValues& values);
/// Draws the student's weights.
void draw_student(OptionValues& values, Problem& problem);

}  // namespace basin::tools
