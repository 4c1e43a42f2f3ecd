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

const Kernels& kernels() {
#if defined(__x86_64__)
  switch (active_isa()) {
    case Isa::avx512:
      return avx512::table;
    case Isa::avx2:
      return avx2::table;
    case Isa::baseline:
      break;
  }
#endif
  return baseline::table;
}

}  // namespace steadyview::motion
