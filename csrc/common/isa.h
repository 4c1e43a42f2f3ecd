#pragma once

namespace steadyview {

enum class Isa { baseline, avx2, avx512 };

// The best instruction set of this processor that the build has a variant for. The environment
// variable STEADYVIEW_ISA (baseline, avx2 or avx512) lowers it, for tests. Decided once.
Isa active_isa();

const char* isa_name(Isa isa);

// What `room`, a namespace with one for each variant in it, has for this processor: a function, a
// table, or a call.
#if defined(__x86_64__)
#define STEADYVIEW_FOR_ISA(room, ...)                                                  \
  (::steadyview::active_isa() == ::steadyview::Isa::avx512 ? room::avx512::__VA_ARGS__ \
   : ::steadyview::active_isa() == ::steadyview::Isa::avx2 ? room::avx2::__VA_ARGS__   \
                                                           : room::baseline::__VA_ARGS__)
#else
#define STEADYVIEW_FOR_ISA(room, ...) (room::baseline::__VA_ARGS__)
#endif

}  // namespace steadyview
