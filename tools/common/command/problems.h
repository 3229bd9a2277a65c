/// From options to the problems of basin-problem, for every tool that makes some.
#pragma once

#include <string>
#include <vector>

#include "basin/problem/initialisation.h"
#include "basin/problem/network_data.h"
#include "basin/problem/problem.h"
#include "basin/problem/text.h"
#include "common/command/command.h"

namespace basin::tools {

/// Data and teacher of a synthetic problem (problem/teacher.h).
void add_teacher_options(po::options_description& options);
/// Data from labelled text (problem/text.h), without the folder.
void add_text_options(po::options_description& options);
/// Random data and teacher of a described network (problem/drawn_data.h).
void add_drawn_data_options(po::options_description& options);
/// Kernel and initial weights, common to all problems of one attention layer.
void add_student_options(po::options_description& options);

/// The initialisation that --init, --gain and --init-seed say, the seed resolved.
Initialisation student_initialisation(OptionValues& values);
/// The same of --target-init, --target-gain and --target-seed.
Initialisation teacher_initialisation(OptionValues& values);
/// Draws the inputs that --samples, --input-scale and --data-seed say.
void draw_inputs(OptionValues& values, NetworkData& data);

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
