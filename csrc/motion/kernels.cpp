#include "motion/kernels.h"

#include "common/isa.h"

namespace steadyview::motion {

namespace baseline {
extern const Kernels table;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels table;
}
namespace avx512 {
extern const Kernels table;
}
#endif

const Kernels& kernels() { return STEADYVIEW_FOR_ISA(motion, table); }

}  // namespace steadyview::motion
