// PyTorch's tensors and products, through the C interface that it has for compiled models.
#pragma once

#include "blocks.h"

// Of aoti_torch/c/shim.h and shim_cpu.h what a block needs; other than 0 is a failure.
extern "C" {
using Handle = struct AtenTensorOpaque*;
int32_t aoti_torch_empty_strided(int64_t, const int64_t*, const int64_t*, int32_t, int32_t, int32_t, Handle*);
int32_t aoti_torch_create_tensor_from_blob(void*, int64_t, const int64_t*, const int64_t*, int64_t, int32_t, int32_t,
                                           int32_t, Handle*);
int32_t aoti_torch_delete_tensor_object(Handle);
int32_t aoti_torch_get_data_ptr(Handle, void**);
int32_t aoti_torch_cpu__linear_pointwise(Handle, Handle, Handle*, const char*, const double**, int64_t, const char**,
                                         Handle*);
int32_t aoti_torch_cpu__linear_pointwise_binary(Handle, Handle, Handle, Handle*, const char*, Handle*);
int32_t aoti_torch_cpu__qlinear_pointwise_tensor(Handle, Handle, Handle, Handle, Handle, Handle, Handle*, double,
                                                 int64_t, const int32_t*, const char*, const double**, int64_t,
                                                 const char*, Handle*);
}

namespace albert {

// A tensor of PyTorch's, [rows, width], that goes with this.
class Rows {
 public:
  Rows(void* data, int64_t rows, int64_t width, int32_t type) : rows(rows), width(width) {
    const int64_t sizes[] = {rows, width}, strides[] = {width, 1};
    require(data == nullptr ? aoti_torch_empty_strided(2, sizes, strides, type, 0, 0, &handle)
                            : aoti_torch_create_tensor_from_blob(data, 2, sizes, strides, 0, type, 0, 0, &handle));
  }
  Rows(Handle handle, int64_t rows, int64_t width) : handle(handle), rows(rows), width(width) {}
  Rows(const Rows&) = delete;
  Rows(Rows&& other) : handle(other.handle), rows(other.rows), width(other.width) { other.handle = nullptr; }
  ~Rows() {
    if (handle != nullptr) aoti_torch_delete_tensor_object(handle);
  }

  template <class Number>
  Number* data() const {
    void* found = nullptr;
    require(aoti_torch_get_data_ptr(handle, &found));
    return static_cast<Number*>(found);
  }

  Handle handle = nullptr;
  const int64_t rows, width;
};

}  // namespace albert
