// TWINS(name, parameters, arguments) makes two kernels of `template <bool planted> name`: name_good and name_bad.
#define TWINS(name, parameters, arguments) \
  extern "C" __global__ void name##_good parameters { name<false> arguments; } \
  extern "C" __global__ void name##_bad parameters { name<true> arguments; }
