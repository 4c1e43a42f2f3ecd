#include <pybind11/pybind11.h>

namespace steadyview {

void register_trajectory(pybind11::module_& module) { (void)module; }

}  // namespace steadyview
