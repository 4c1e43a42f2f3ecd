#pragma once

namespace steadyview {

enum class Isa { baseline, avx2, avx512 };

// The best instruction set of this processor that the build has a variant for. The environment
// variable STEADYVIEW_ISA (baseline, avx2 or avx512) lowers it, for tests. Decided once.
Isa active_isa();

const char* isa_name(Isa isa);

}  // namespace steadyview
