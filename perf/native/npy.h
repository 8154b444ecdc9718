// Tensors as .npy files, the form in which a cell names its inputs.
#pragma once
#include <string>

#include "engine.h"

namespace native {

// The tensor of a file, its name and ONNX type as the cell has them; throws BadRequest, or Declined for strings.
Array read_npy(const std::string& path, const std::string& name, int onnx_type);
void write_npy(const std::string& path, const Array& array);

}  // namespace native
