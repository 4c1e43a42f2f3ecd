#pragma once

#include <cstdint>

namespace steadyview::gaussians {

// A step of Adam (Kingma and Ba, 2015): mean and square are the moments, whose share of zeros from
// the beginning is divided out.
struct Adam {
  float* values;          // (rows, width)
  const float* gradient;  // (rows, width)
  float* mean;            // (rows, width)
  float* square;          // (rows, width)
  const bool* seen;       // (rows): where false all stays as it is; or null
  int64_t rows, width;
  int64_t head;  // columns with head_rate; the others have tail_rate
  float head_rate, tail_rate;
  float beta1, beta2, epsilon;
  float scale1, scale2;  // 1 / (1 - beta1^step), 1 / sqrt(1 - beta2^step)
};

void adam_cpu(const Adam& adam);
const char* adam_cuda(const Adam& adam, void* stream);

}  // namespace steadyview::gaussians
