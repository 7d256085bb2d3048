// The kernel functions, op_isa, one per cell of kernel_list.inc. Only kernels, dispatch and tests include this;
// everything else calls through a KernelTable.
#pragma once

#include "kernels/table.h"

namespace onepass::kernels {

#define ONEPASS_KERNEL(op, Args, isa) void op##_##isa(const Args&) noexcept;
#include "kernels/kernel_list.inc"

}  // namespace onepass::kernels
