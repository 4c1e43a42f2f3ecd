#pragma once

struct __half {
  __half() = default;
  __half(float value) : value(static_cast<_Float16>(value)) {}
  operator float() const { return static_cast<float>(value); }
  _Float16 value;
};
