#include "photometric/photometric.h"

#include <memory>
#include <vector>

#include "common/isa.h"
#include "common/parallel.h"

namespace steadyview::photometric {

namespace baseline {
extern const TileFunction loss_tile;
}
#if defined(__x86_64__)
namespace avx2 {
extern const TileFunction loss_tile;
}
namespace avx512 {
extern const TileFunction loss_tile;
}
#endif

namespace {

TileFunction tile_function() { return STEADYVIEW_FOR_ISA(photometric, loss_tile); }

}  // namespace

double loss_and_gradient(const LossParams& p) {
  const int64_t rows = (p.height + kTile - 1) / kTile, columns = (p.width + kTile - 1) / kTile;
  const TileFunction tile = tile_function();
  std::vector<double> losses(static_cast<size_t>(rows * columns));
  parallel_for(0, rows * columns, 1, [&](int64_t first, int64_t last) {
    const auto size = static_cast<size_t>(tile_scratch(p.channels));
    const std::unique_ptr<float[]> scratch(new float[size]);
    for (int64_t i = first; i < last; ++i) {
      losses[static_cast<size_t>(i)] =
          tile(p, i / columns * kTile, i % columns * kTile, scratch.get());
    }
  });
  double sum = 0;
  for (const double loss : losses) sum += loss;
  return sum;
}

}  // namespace steadyview::photometric
