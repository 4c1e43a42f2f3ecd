#include "photometric/photometric.h"

#include <algorithm>
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

constexpr int64_t kTiles = 12;             // there are as many or more, if they are high enough
constexpr int64_t kLow = 64, kHigh = 160;  // rows: what a tile needs beyond it is computed twice

int64_t parts(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

TileFunction tile_function() { return STEADYVIEW_FOR_ISA(photometric, loss_tile); }

}  // namespace

double loss_and_gradient(const LossParams& p) {
  if (p.height == 0 || p.width == 0) return 0;
  const int64_t columns = parts(p.width * p.channels, kStrip);
  const int64_t width = parts(p.width, columns);
  const int64_t wanted = parts(p.height * columns, kTiles);
  const int64_t height = parts(std::clamp(wanted, kLow, kHigh), kRows) * kRows;
  const int64_t tiles = parts(p.height, height) * columns;
  const TileFunction loss_of = tile_function();
  std::vector<double> losses(static_cast<size_t>(tiles));
  parallel_for(0, tiles, 1, [&](int64_t first, int64_t last) {
    const auto size = static_cast<size_t>(tile_scratch(width, p.channels));
    const std::unique_ptr<float[]> scratch(new float[size]);
    for (int64_t i = first; i < last; ++i) {
      const int64_t row = i / columns * height, column = i % columns * width;
      const Tile tile{row, column, std::min(height, p.height - row),
                      std::min(width, p.width - column)};
      if (tile.width > 0) losses[static_cast<size_t>(i)] = loss_of(p, tile, scratch.get());
    }
  });
  double sum = 0;
  for (const double loss : losses) sum += loss;
  return sum;
}

}  // namespace steadyview::photometric
