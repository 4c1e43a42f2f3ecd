#pragma once

namespace steadyview {

// Lets loops run on torch's own threads, where they are OpenMP's.
void use_torch_threads();

}  // namespace steadyview
