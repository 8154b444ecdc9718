#include "cell.h"

#include <filesystem>

#include "json.h"
#include "npy.h"

namespace native {
namespace {

constexpr int64_t SCHEMA = 2;  // the newest that is known here

std::map<std::string, std::string> texts(const Json& object) {
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : object.members()) out[key] = value.text();
  return out;
}

// A GPU where the cell has one and its options leave it; perf/backends/_torch/setup.py chooses alike.
std::string device_of(const Json& cell, const std::map<std::string, std::string>& options) {
  const auto given = options.find("device");
  const Json* gpu = cell.find("gpu");
  const std::string wanted = given != options.end() ? given->second : gpu && !gpu->text().empty() ? "cuda" : "cpu";
  if (wanted == "cpu") return wanted;
  if (wanted != "cuda") throw Declined("device '" + wanted + "': use cpu or cuda");
  const Json* number = cell.find("device");
  return "cuda:" + std::to_string(number ? number->integer() : 0);
}

Protocol protocol_of(const Json& cell) {
  const Json& given = cell["protocol"];
  Protocol out;
  if (!given["runs"].is_null()) out.runs = given["runs"].integer();
  out.warmup = given["warmup"].integer();
  out.min_time_s = given["min_time_s"].number();
  out.max_time_s = given["max_time_s"].number();
  return out;
}

std::vector<TestSet> sets_of(const Json& list) {
  std::vector<TestSet> out;
  for (const auto& given : list.items()) {
    TestSet set{given["name"].text(), {}};
    for (const auto& file : given["inputs"].items())
      set.inputs.push_back(
          read_npy(file["path"].text(), file["name"].text(), static_cast<int>(file["onnx_type"].integer())));
    out.push_back(std::move(set));
  }
  return out;
}

}  // namespace

Cell read_cell(const std::string& path) {
  const bool folder = std::filesystem::is_directory(path);
  const Json cell = Json::read(folder ? path + "/cell.json" : path);
  if (const Json* schema = cell.find("schema"); schema && schema->integer() > SCHEMA)
    throw BadRequest(path + " is of a newer version of the harness: build this program anew (make native)");
  Cell out;
  out.name = cell["model"]["name"].text();
  out.python = cell["environment"]["python"].text();
  out.protocol = protocol_of(cell);
  Settings& settings = out.settings;
  settings.options = texts(cell["options"]);
  settings.session_config = texts(cell["session_config"]);
  settings.graph_optimization = cell["graph_optimization"].text();
  settings.resident = cell["io"].text() == "device";
  settings.tf32 = cell["tf32"].truth();
  settings.intra_op_threads = static_cast<int>(cell["protocol"]["intra_op_threads"].integer());
  settings.inter_op_threads = static_cast<int>(cell["protocol"]["inter_op_threads"].integer());
  settings.device = device_of(cell, settings.options);
  if (const Json* custom = cell["model"].find("custom_ops"))
    for (const auto& [library, digest] : custom->members()) settings.custom_ops.push_back(library);
  if (const auto library = settings.options.find("ops_library"); library != settings.options.end())
    settings.ops_library = library->second;
  const Json* form = cell.find("form");
  if (form && !form->is_null()) {
    if ((*form)["format"].text() != "torchscript")
      throw Declined(out.name + " is no TorchScript file: the C++ runtime loads .pt, .ts and ONNX");
    settings.model = (*form)["path"].text();
    out.torchscript = true;
  } else {
    settings.model = cell["model"]["path"].text();
  }
  if (const std::string precision = cell["target"]["precision"].text(); precision != "fp32")
    throw Declined("precision " + precision + ": the C++ runtime runs a file as it is, in fp32");
  out.sets = sets_of(cell["sets"]);
  return out;
}

}  // namespace native
