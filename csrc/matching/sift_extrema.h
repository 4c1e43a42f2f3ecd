#pragma once

// Which candidates of an octave are features, and where exactly.

#include "matching/sift_pyramid.h"

namespace steadyview::matching {

enum class Settled { no, yes, later };

// Looks at a candidate of `layer`. Rows of all images before `end` are there: when these do not do,
// the answer is later. Of a feature `found` is made.
Settled settle(const Octave& octave, const Candidate& candidate, int layer, int end,
               Extremum& found);

}  // namespace steadyview::matching
