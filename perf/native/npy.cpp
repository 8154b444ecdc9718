#include "npy.h"

#include <cstring>
#include <fstream>

#include "json.h"

namespace native {
namespace {

constexpr size_t LARGEST = size_t{1} << 36;

// numpy's name of an element by TensorProto.DataType; what numpy lacks is stored as its codes.
const std::map<int, std::string> DESCRIPTIONS = {
    {1, "<f4"},  {2, "|u1"},  {3, "|i1"},  {4, "<u2"},  {5, "<i2"},   {6, "<i4"},   {7, "<i8"},
    {9, "|b1"},  {10, "<f2"}, {11, "<f8"}, {12, "<u4"}, {13, "<u8"},  {14, "<c8"},  {15, "<c16"},
    {16, "<u2"}, {17, "|u1"}, {18, "|u1"}, {19, "|u1"}, {20, "|u1"},  {24, "|u1"},
};

std::string description_of(int onnx_type) {
  const auto found = DESCRIPTIONS.find(onnx_type);
  return found == DESCRIPTIONS.end() ? "" : found->second;
}

// The value of a key in the header, which is a dictionary as Python writes it.
std::string value_of(const std::string& header, const std::string& key, const std::string& path) {
  const size_t at = header.find("'" + key + "':");
  if (at == std::string::npos) throw BadRequest(path + ": no " + key + " in its header");
  const size_t begin = header.find_first_not_of(' ', at + key.size() + 3);
  const size_t end = header[begin] == '(' ? header.find(')', begin) + 1 : header.find_first_of(",}", begin);
  return header.substr(begin, end - begin);
}

}  // namespace

size_t bytes_of_type(int onnx_type) {
  const std::string description = description_of(onnx_type);
  return description.empty() ? 0 : static_cast<size_t>(std::stoi(description.substr(2)));
}

Array read_npy(const std::string& path, const std::string& name, int onnx_type) {
  const std::string wanted = description_of(onnx_type);
  if (wanted.empty())
    throw Declined("input '" + name + "' is of ONNX type " + std::to_string(onnx_type) +
                   ", which the C++ runtime is not fed: use the Python target");
  std::string data = read_file(path, LARGEST);
  if (data.size() < 12 || data.compare(0, 6, "\x93NUMPY", 6) != 0) throw BadRequest(path + " is no .npy file");
  const bool short_header = data[6] == 1;
  uint32_t length = 0;
  std::memcpy(&length, data.data() + 8, short_header ? 2 : 4);
  const size_t begin = short_header ? 10 : 12;
  if (begin + length > data.size()) throw BadRequest(path + " is no whole .npy file");
  const std::string header = data.substr(begin, length);
  if (value_of(header, "fortran_order", path) != "False") throw BadRequest(path + " is not in row-major order");
  const std::string found = value_of(header, "descr", path);
  if (found != "'" + wanted + "'") throw BadRequest(path + " holds " + found + ", and the cell says " + wanted);
  Array out{name, onnx_type, {}, {}};
  size_t bytes = bytes_of_type(onnx_type);
  const std::string shape = value_of(header, "shape", path);
  for (size_t at = shape.find_first_of("0123456789"); at != std::string::npos;
       at = shape.find_first_of("0123456789", shape.find_first_not_of("0123456789", at))) {
    out.shape.push_back(std::stoll(shape.substr(at)));
    bytes *= static_cast<size_t>(out.shape.back());
  }
  out.bytes = data.substr(begin + length);
  if (out.bytes.size() != bytes) throw BadRequest(path + " is no whole .npy file");
  return out;
}

void write_npy(const std::string& path, const Array& array) {
  std::string shape;
  for (const auto dim : array.shape) shape += std::to_string(dim) + ", ";
  if (array.shape.size() > 1) shape.resize(shape.size() - 2);
  std::string header = "{'descr': '" + description_of(array.onnx_type) + "', 'fortran_order': False, 'shape': (" + shape + "), }";
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  const auto length = static_cast<uint16_t>(header.size());
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write("\x93NUMPY\x01\x00", 8).write(reinterpret_cast<const char*>(&length), 2);
  out << header;
  out.write(array.bytes.data(), static_cast<std::streamsize>(array.bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + path);
}

}  // namespace native
