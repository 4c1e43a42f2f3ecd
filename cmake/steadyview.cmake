# What the room files use. No network here: everything is found, nothing is fetched.

# Warnings, optimisation and sanitizers of our own code.
function(steadyview_defaults target)
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/csrc)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -O$<IF:$<BOOL:${STEADYVIEW_SANITIZE}>,1,3> -fno-math-errno>)
  if(STEADYVIEW_WERROR)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
  endif()
  if(STEADYVIEW_SANITIZE)
    target_compile_options(${target} PUBLIC $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer>)
    target_link_options(${target} PUBLIC -fsanitize=address,undefined)
  endif()
endfunction()

# Compiles one kernel source once for each instruction set into `target`. The source wraps all it
# defines in `namespace STEADYVIEW_ISA { … }`, and a plain source picks a variant with active_isa().
function(steadyview_add_isa_variants target source)
  get_filename_component(stem ${source} NAME_WE)
  set(variants baseline)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND variants avx2 avx512)
  endif()
  set(flags_avx2 -mavx2 -mfma -mbmi2)
  set(flags_avx512 -mavx2 -mfma -mbmi2 -mavx512f -mavx512bw -mavx512dq -mavx512vl
      -mprefer-vector-width=512)
  foreach(isa ${variants})
    set(object ${stem}_${isa})
    add_library(${object} OBJECT ${source})
    steadyview_defaults(${object})
    target_compile_definitions(${object} PRIVATE STEADYVIEW_ISA=${isa})
    # Under the sanitizers optimising these costs minutes of compile time, and the tests gain seconds.
    target_compile_options(${object} PRIVATE ${flags_${isa}} $<$<BOOL:${STEADYVIEW_SANITIZE}>:-O0>)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${object}>)
  endforeach()
endfunction()

# Adds CUDA twins (torch-free .cu files); a no-op without nvcc.
function(steadyview_add_cuda)
  if(NOT STEADYVIEW_HAS_CUDA)
    return()
  endif()
  list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  if(TARGET steadyview_cuda)
    target_sources(steadyview_cuda PRIVATE ${ARGN})
  else()
    add_library(steadyview_cuda STATIC ${ARGN})
    steadyview_defaults(steadyview_cuda)
    set_target_properties(steadyview_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static CUDA_STANDARD 20)
  endif()
  if(STEADYVIEW_CUDA STREQUAL "HOST")
    set(host ${PROJECT_SOURCE_DIR}/csrc/tests/cuda_on_host)
    target_sources(steadyview_cuda PRIVATE ${host}/cuda_on_host.cpp)
    target_include_directories(steadyview_cuda BEFORE PRIVATE ${host})
    target_compile_options(steadyview_cuda PRIVATE -ffp-contract=off -Wno-unknown-pragmas)
    set_source_files_properties(${ARGN} TARGET_DIRECTORY steadyview_cuda PROPERTIES LANGUAGE CXX)
  endif()
endfunction()

macro(steadyview_find_python)
  if(STEADYVIEW_PYTHON)
    find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
  else()
    find_package(Python 3.10 COMPONENTS Interpreter)
  endif()
endmacro()

# Runs a line of Python; an empty answer when it fails.
function(steadyview_ask_python code answer)
  set(output "")
  if(Python_EXECUTABLE)
    execute_process(COMMAND ${Python_EXECUTABLE} -c "${code}" OUTPUT_VARIABLE output
                    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  set(${answer} "${output}" PARENT_SCOPE)
endfunction()

# The CUDA twins need nvcc and its static runtime, never a CUDA build of torch.
macro(steadyview_find_cuda)
  set(STEADYVIEW_HAS_CUDA OFF)
  if(STEADYVIEW_CUDA STREQUAL "HOST")
    set(STEADYVIEW_HAS_CUDA ON)
  elseif(NOT STEADYVIEW_CUDA STREQUAL "OFF" AND NOT STEADYVIEW_SANITIZE)
    include(CheckLanguage)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
      if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
        set(CMAKE_CUDA_ARCHITECTURES 80-real 90)  # 90 carries PTX for what comes later
      endif()
      enable_language(CUDA)
      find_package(CUDAToolkit REQUIRED)
      set(STEADYVIEW_HAS_CUDA ON)
    elseif(STEADYVIEW_CUDA STREQUAL "ON")
      message(FATAL_ERROR "STEADYVIEW_CUDA=ON, but nvcc was not found: put it on PATH or set CUDACXX")
    endif()
  endif()
endmacro()

# Torch is taken from the running environment (pip install --no-build-isolation); its own CMake
# package is slow and sets global flags, so only the paths are asked for.
macro(steadyview_find_torch)
  steadyview_ask_python(
    "import importlib.util as u, pathlib; print(pathlib.Path(u.find_spec('torch').origin).parent)"
    STEADYVIEW_TORCH_DIR)
  set(STEADYVIEW_HAS_TORCH OFF)
  if(STEADYVIEW_TORCH_DIR AND EXISTS ${STEADYVIEW_TORCH_DIR}/include/ATen/core/Tensor.h)
    set(STEADYVIEW_HAS_TORCH ON)
    steadyview_ask_python(
      "import importlib.metadata as m; print(m.version('torch'))" STEADYVIEW_TORCH_VERSION)
    add_library(steadyview_torch INTERFACE)
    target_include_directories(steadyview_torch SYSTEM INTERFACE ${STEADYVIEW_TORCH_DIR}/include
                               ${STEADYVIEW_TORCH_DIR}/include/torch/csrc/api/include)
    target_link_directories(steadyview_torch INTERFACE ${STEADYVIEW_TORCH_DIR}/lib)
    target_link_libraries(steadyview_torch INTERFACE torch_python torch_cpu c10)
    target_compile_definitions(steadyview_torch INTERFACE
                               STEADYVIEW_TORCH_VERSION="${STEADYVIEW_TORCH_VERSION}")
    # _C is imported after torch, which has loaded these libraries already: no run path is needed.
  else()
    message(STATUS "torch not found: building without the tensor module steadyview._C")
  endif()
endmacro()
