#pragma once

#include <cstdint>

// The inner loops of the motion room, compiled once for each instruction set (kernels.cpp).
// All arrays are dense and row-major unless a stride is given; analysis images hold at most
// 2^31 pixels, so that gathers may use 32-bit indices.
namespace steadyview::motion {

inline constexpr int kCell = 8;  // pixels of a cell's side

// Mean of factor x factor blocks of a luma plane, as 12-bit values.
struct ReduceParams {
  const void* plane;  // (rows, columns) of uint8 or uint16
  int64_t stride;     // bytes from row to row
  int bytes;          // of a sample: 1 or 2
  int depth;          // bits of a sample that are used, 8 to 16
  int factor;         // side of the blocks
  int width, height;  // of the output
  uint16_t* reduced;  // (height, width), 0 to 4095
  uint32_t* scratch;  // (width * factor)
};

// Binomial smoothing, and the sums over cells that do not depend on the second frame.
struct PrepareParams {
  const uint16_t* reduced;  // (height, width)
  int width, height;
  int columns, rows;  // cells: width / kCell, height / kCell
  uint32_t* pairs;    // (height, width): the smoothed pixel, and its right neighbour << 16
  float* cells;       // (kCellSums, rows, columns), see CellSum; intensities in 12-bit units
  uint16_t* scratch;  // (width)
  float* sums;        // (kCellSums, width)
};

// Channels of PrepareParams::cells: sums over the cell's pixels of products of the smoothed
// intensity I and its gradient.
enum CellSum { kIxIx, kIxIy, kIyIy, kIx, kIy, kIIx, kIIy, kI, kCellSums };

// Photometric difference e = I1(x + flow(x)) - gain I0(x) - offset, summed over cells.
struct ResidualParams {
  const uint32_t* first;   // pairs of I0, (height, width)
  const uint32_t* second;  // pairs of I1
  int width, height, columns, rows;
  const float* flow_rows;     // (height, terms, 2): weights of the row's basis functions, x then y
  const float* column_basis;  // (terms, width)
  int terms;
  float gain, offset;
  float* cells;    // (kResidualSums, rows, columns), see ResidualSum
  float* scratch;  // (2, width)
  float* sums;     // (kResidualSums, width)
};

enum ResidualSum { kEIx, kEIy, kE, kAbsE, kInside, kResidualSums };

// moments[p][q] = sum over cells of field * vertical[p][row] * horizontal[q][column].
struct MomentParams {
  const float* field;  // (rows, columns)
  int columns, rows;
  const float* vertical;  // (terms_v, rows)
  int terms_v;
  const float* horizontal;  // (terms_h, columns)
  int terms_h;
  double* moments;  // (terms_v, terms_h)
  float* scratch;   // (terms_v, columns)
};

// Geman-McClure weights of the distance between two fields: weight / (1 + d^2 / scale^2)^2.
struct RobustParams {
  const float *x, *y, *model_x, *model_y;  // (count)
  const float* weight;                     // (count)
  int64_t count;
  float scale;
  float* distance;  // (count): squared distances
  float* robust;    // (count)
};

struct Kernels {
  void (*reduce)(const ReduceParams&);
  void (*prepare)(const PrepareParams&);
  void (*residual)(const ResidualParams&);
  void (*moments)(const MomentParams&);
  void (*robust_weights)(const RobustParams&);
};

// The variant for this processor.
const Kernels& kernels();

}  // namespace steadyview::motion
